internal import Testing

@testable internal import WaybillCommands

@Suite("The demo's sample")
struct FlightTests {
    @Test func aWeekHas6099FlightsWithDistinctIds() throws {
        let flights = try FlightsWeek.load()
        #expect(flights.count == FlightsWeek.count)
        #expect(Set(flights.map(\.id)).count == FlightsWeek.count)
        #expect(flights.allSatisfy { (1...7).contains($0.day) })
    }

    @Test func theSameIdsComeOutAtEveryLoad() throws {
        let first = try FlightsWeek.load().map(\.id)
        let second = try FlightsWeek.load().map(\.id)
        #expect(first == second)
    }

    @Test func flightsWithoutAnAircraftGoToOneDevice() throws {
        let flights = try FlightsWeek.load()
        let fleet = Aircraft.fleet(flights)
        let unassigned = try #require(fleet.first { $0.name == "unassigned" })
        #expect(
            unassigned.days.reduce(0) { $0 + $1.flights.count }
                == flights.count { $0.tailNumber == nil })
        #expect(
            fleet.reduce(0) { $0 + $1.days.reduce(0) { $0 + $1.flights.count } }
                == FlightsWeek.count)
        #expect(fleet.allSatisfy { $0.days.allSatisfy { !$0.flights.isEmpty } })
    }

    @Test func aPayloadHasNumbersTextsAndNulls() throws {
        let flight = try #require(try FlightsWeek.load().first)
        #expect(
            flight.payload
                == #"{"year":2013,"month":1,"day":1,"dep_time":517,"sched_dep_time":515,"#
                + #""dep_delay":2,"arr_time":830,"sched_arr_time":819,"arr_delay":11,"#
                + #""carrier":"UA","flight":1545,"tailnum":"N14228","origin":"EWR","dest":"IAH","#
                + #""air_time":227,"distance":1400,"hour":5,"minute":15,"#
                + #""time_hour":"2013-01-01T10:00:00Z"}"#)
        let cancelled = try #require(try FlightsWeek.load().first { $0.tailNumber == nil })
        #expect(cancelled.payload.contains(#""tailnum":null"#))
    }
}
