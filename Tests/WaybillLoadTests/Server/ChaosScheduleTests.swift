import Testing

@testable import WaybillLoad

@Suite struct ChaosScheduleTests {
    private typealias Step = LoadPlan.ChaosStep

    @Test func stepsOfALaneComeInOrderOfTimeUntilTheMeasuredTimeEnds() {
        let schedule = ChaosSchedule(
            [
                Step(atSeconds: 30, action: .restartServer),
                Step(atSeconds: 10, everySeconds: 20, action: .killServer),
                Step(atSeconds: 70, action: .killPostgres),
            ], durationSeconds: 70)
        let dues = Array(schedule.dues(of: .server))
        #expect(dues.map(\.second) == [10, 30, 30, 50])
        #expect(
            dues.map(\.step.action) == [.killServer, .restartServer, .killServer, .killServer])
    }

    @Test func lanesHoldWhatWouldBeInTheWayOfEachOther() {
        let all = Step.Action.allCases.map { Step(atSeconds: 1, action: $0, count: 1) }
        let schedule = ChaosSchedule(all, durationSeconds: 10)
        #expect(schedule.lanes == [.server, .listeners, .disk, .network])
        #expect(Array(schedule.dues(of: .server)).count == 3)
        #expect(Array(schedule.dues(of: .listeners)).map(\.step.action) == [.scale])
        #expect(Array(schedule.dues(of: .disk)).map(\.step.action) == [.fillDisk])
        #expect(Array(schedule.dues(of: .network)).map(\.step.action) == [.edge, .lossy, .tunnel])
        #expect(ChaosSchedule([], durationSeconds: nil).lanes.isEmpty)
    }

    @Test func whatThePlanDoesNotSayLastsAsLongAsUsual() {
        let schedule = ChaosSchedule(
            [
                Step(atSeconds: 1, action: .killPostgres),
                Step(atSeconds: 2, action: .killPostgres, seconds: 0.5),
            ], durationSeconds: nil)
        #expect(Array(schedule.dues(of: .server)).map(\.holdSeconds) == [5, 0.5])
    }

    @Test func repetitionsWithoutAnEndAreMadeOneByOneAndLetTimePass() {
        let schedule = ChaosSchedule(
            [Step(atSeconds: 1, everySeconds: 0, action: .killServer)], durationSeconds: nil)
        let first = Array(schedule.dues(of: .server).prefix(100)).map(\.second)
        #expect(first.count == 100)
        #expect(zip(first, first.dropFirst()).allSatisfy { $0 < $1 })
    }
}
