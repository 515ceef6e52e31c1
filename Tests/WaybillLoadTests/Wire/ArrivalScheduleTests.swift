import Testing
import WaybillLoad

@Suite struct ArrivalScheduleTests {
    private func times(_ arrivals: LoadPlan.Arrivals, seed: UInt64 = 1, count: Int) throws
        -> [Int64]
    {
        var schedule = try #require(ArrivalSchedule(arrivals, seed: seed))
        return (0..<count).map { _ in schedule.next() }
    }

    @Test func constantArrivalsDoNotDrift() throws {
        let times = try times(.init(model: .constant, rate: 3), count: 3_000_001)
        #expect(times[0] == 0)
        #expect(times[1] == 333_333_333)
        #expect(times[3_000_000] == 1_000_000_000_000_000)
    }

    @Test func poissonArrivalsHaveTheirRateAndSpread() throws {
        let count = 100_000
        let times = try times(.init(model: .poisson, rate: 1000), count: count)
        let mean = Double(times[count - 1]) / Double(count)
        #expect(abs(mean / 1e6 - 1) < 0.02)
        let gaps = zip(times.dropFirst(), times).map { Double($0 - $1) }
        #expect(gaps.allSatisfy { $0 >= 0 })
        // Of an exponential distribution 1 - 1/e lie below the mean.
        let below = Double(gaps.count { $0 < mean }) / Double(gaps.count)
        #expect(abs(below - 0.632) < 0.01)
    }

    @Test func theSameSeedGivesTheSameTimes() throws {
        let arrivals = LoadPlan.Arrivals(model: .poisson, rate: 10)
        #expect(try times(arrivals, count: 100) == times(arrivals, count: 100))
        #expect(try times(arrivals, seed: 2, count: 100) != times(arrivals, count: 100))
    }

    @Test func theClosedModelHasNoSchedule() {
        #expect(ArrivalSchedule(.init(model: .closed, rate: 5), seed: 1) == nil)
        #expect(ArrivalSchedule(.init(model: .constant, rate: nil), seed: 1) == nil)
        #expect(ArrivalSchedule(.init(model: .poisson, rate: 0), seed: 1) == nil)
    }

    @Test(arguments: [(1, 1), (1, 2), (3, 2), (7, 3), (10, 4)])
    func lanesShareOutAllBundlesAndDevices(_ devices: Int, _ lanes: Int) throws {
        let partitions = (0..<lanes).map { LanePartition(lane: $0, lanes: lanes, devices: devices) }
        #expect(partitions.flatMap(\.deviceIndices).sorted() == Array(0..<devices))
        #expect(partitions.map { $0.share(of: 11) }.reduce(0, +) == 11)
        for number in 0..<100 {
            let owners = partitions.filter { $0.owns(number) }
            #expect(owners.count == 1)
            let owner = try #require(owners.first)
            #expect(owner.first(from: number) == number)
            #expect(owner.deviceIndices[owner.position(of: number)] == number % devices)
        }
        for partition in partitions where partition.deviceIndices.isEmpty {
            #expect(partition.first(from: 0) == nil)
        }
    }

    @Test func lanesKeepTheTimesOfTheWholeSchedule() throws {
        let arrivals = LoadPlan.Arrivals(model: .poisson, rate: 100)
        let whole = try times(arrivals, seed: 4, count: 50).map { $0 + 1000 }
        var seen: [Int: Int64] = [:]
        for lane in 0..<2 {
            let schedule = try #require(ArrivalSchedule(arrivals, seed: 4))
            var own = LaneArrivals(
                schedule, partition: LanePartition(lane: lane, lanes: 2, devices: 5), origin: 1000,
                until: .max, bundlesMax: 50)
            while let next = own.next {
                seen[next.number] = next.time
                own.advance()
            }
        }
        #expect((0..<50).map { seen[$0] } == whole)
        #expect(seen.count == 50)
    }

    @Test func nothingIsDueFromTheEndOn() throws {
        let schedule = try #require(ArrivalSchedule(.init(model: .constant, rate: 10), seed: 1))
        var own = LaneArrivals(
            schedule, partition: LanePartition(lane: 0, lanes: 1, devices: 1), origin: 0,
            until: 300_000_000, bundlesMax: .max)
        var times: [Int64] = []
        while let next = own.next {
            times.append(next.time)
            own.advance()
        }
        #expect(times == [0, 100_000_000, 200_000_000])
    }
}

@Suite struct CutPointTests {
    @Test(arguments: [[2], [700], [300, 1, 5000], [10, 10, 10]])
    func cutsInsideTheRequestsWhateverTheShare(_ lengths: [Int]) throws {
        var before = -1
        for step in 0...1000 {
            let point = CutPoint(.within(Double(step) / 1000), lengths: lengths)
            let bytes = try #require(point.bytes)
            #expect((0..<lengths.count).contains(point.request))
            #expect((0..<lengths[point.request]).contains(bytes))
            let position = lengths[..<point.request].reduce(0, +) + bytes
            #expect(position >= 1)
            #expect(position >= before)
            before = position
        }
        #expect(before == lengths.reduce(0, +) - 1)
    }

    @Test func aCutBeforeTheAnswerSendsAll() {
        #expect(CutPoint(.beforeAnswer, lengths: [5]) == CutPoint(request: 0, bytes: nil))
        #expect(CutPoint(.beforeAnswer, lengths: [5, 6, 7]) == CutPoint(request: 2, bytes: nil))
    }
}

@Suite struct RetryRuleTests {
    @Test func waitsAtRandomUnderADoublingCeiling() {
        var rule = RetryRule()
        rule.ceilingSeconds = 4
        for (tries, ceiling) in [(1, 1), (2, 2), (3, 4), (4, 4), (60, 4)] {
            #expect(rule.delay(tries: tries, retryAfter: nil, unit: 0) == 0)
            let longest = rule.delay(tries: tries, retryAfter: nil, unit: 1)
            #expect(longest == Int64(ceiling) * 1_000_000_000)
        }
    }

    @Test func neverComesBackBeforeTheServerSays() {
        let rule = RetryRule()
        for unit in [0, 0.5, 1] {
            #expect(rule.delay(tries: 1, retryAfter: 3, unit: unit) == 3_000_000_000)
            #expect(rule.delay(tries: 9, retryAfter: 1, unit: unit) >= 1_000_000_000)
        }
    }

    @Test func aRunDoesNotWaitForEver() {
        #expect(RetryRule().delay(tries: 1, retryAfter: 600, unit: 0.1) == 5_000_000_000)
    }

    @Test func triesAgainWhatTheContractSays() {
        let retried = (400..<600).filter(RetryRule.isRetryable)
        #expect(retried == [408, 425, 429] + Array(500..<600))
    }

    private func verdict(_ status: Int, _ body: String = "") -> UploadVerdict {
        .whole(status: status, body: Array(body.utf8))
    }

    @Test func judgesAnswersToWholeBundles() {
        #expect(verdict(202) == .received)
        #expect(verdict(200, #"{"state":"settled"}"#) == .received)
        #expect(verdict(200, #"{"state":"receiving"}"#) == .retry("incomplete"))
        #expect(verdict(503, #"{"code":"backlog_full"}"#) == .retry("backlog_full"))
        #expect(verdict(429) == .retry("status_429"))
        #expect(verdict(422, #"{"code":"archive_empty"}"#) == .refused("archive_empty"))
        #expect(verdict(401, #"{"code":"unauthorized"}"#) == .refused("unauthorized"))
        #expect(verdict(400, #"{"code":"Not A Code"}"#) == .refused("status_400"))
        #expect(verdict(302) == .refused("status_302"))
    }

    @Test func judgesAnswersToDeclarations() {
        func verdict(_ status: Int, _ body: String) -> UploadVerdict {
            .declaration(status: status, body: Array(body.utf8), parts: 3)
        }
        let parts = #""parts":[{"part":1,"complete":true},{"part":2,"complete":false}]"#
        #expect(verdict(201, #"{"state":"receiving","parts":[]}"#) == .missing([0, 1, 2]))
        #expect(verdict(200, #"{"state":"receiving",\#(parts)}"#) == .missing([1, 2]))
        #expect(verdict(200, #"{"state":"lost","parts":[]}"#) == .missing([0, 1, 2]))
        for state in ["queued", "processing", "settled", "quarantined"] {
            #expect(verdict(200, #"{"state":"\#(state)",\#(parts)}"#) == .received)
        }
        #expect(verdict(201, "") == .retry("malformed"))
        #expect(verdict(429, #"{"code":"too_many_open"}"#) == .retry("too_many_open"))
    }

    @Test func judgesAnswersToQuestions() {
        func verdict(_ status: Int, _ body: String) -> UploadVerdict {
            .standing(status: status, body: Array(body.utf8))
        }
        let parts =
            #""parts":[{"part":1,"received":9,"complete":true},"#
            + #"{"part":2,"received":7,"complete":false}]"#
        #expect(verdict(200, #"{"state":"receiving",\#(parts)}"#) == .offsets([1: 7]))
        #expect(verdict(200, #"{"state":"queued",\#(parts)}"#) == .received)
        #expect(verdict(200, #"{"state":"expired",\#(parts)}"#) == .unknown)
        #expect(verdict(404, #"{"code":"not_found"}"#) == .unknown)
        #expect(verdict(503, #"{"code":"database_unavailable"}"#) == .retry("database_unavailable"))
        #expect(verdict(200, #"{"state":"receiving","parts":[{}]}"#) == .retry("malformed"))
    }

    @Test func judgesAnswersToParts() {
        func verdict(_ status: Int) -> UploadVerdict { .part(status: status, body: []) }
        #expect(verdict(201) == .partReceived)
        #expect(verdict(200) == .partReceived)
        for status in [404, 409, 410, 500, 507] {
            #expect(verdict(status) == .retry("status_\(status)"))
        }
        #expect(verdict(422) == .refused("status_422"))
        #expect(verdict(413) == .refused("status_413"))
    }
}
