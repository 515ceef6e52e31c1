import Synchronization
import Testing

@testable import WaybillLoad

@Suite struct ChaosRunnerTests {
    private typealias Step = LoadPlan.ChaosStep

    /// Time that passes when somebody waits for it, for runners of one lane.
    private final class QuickTime: ChaosTime {
        private let second = Mutex(0.0)
        private let end: Double

        init(end: Double) {
            self.end = end
        }

        func now() -> Double { second.withLock { $0 } }

        func wait(until wanted: Double) async throws -> Bool {
            second.withLock { $0 = max($0, min(wanted, end)) }
            return wanted < end
        }
    }

    private final class Diary: ChaosEffects {
        struct Trouble: Error {}

        private let lines = Mutex<[String]>([])
        private let time: any ChaosTime
        private let failing: String?

        init(_ time: any ChaosTime, failing: String? = nil) {
            self.time = time
            self.failing = failing
        }

        var text: [String] { lines.withLock { $0 } }

        private func write(_ word: String, _ step: LoadPlan.ChaosStep) throws {
            let line = "\(word) \(step.action.rawValue) \(time.now())"
            lines.withLock { $0.append(line) }
            if let failing, line.hasPrefix(failing) { throw Trouble() }
        }

        func begin(_ step: LoadPlan.ChaosStep) async throws { try write("begin", step) }
        func keepUp(_ step: LoadPlan.ChaosStep) async throws { try write("keep", step) }
        func end(_ step: LoadPlan.ChaosStep) async throws { try write("end", step) }
    }

    @Test func troubleBeginsLastsAndEndsInOrder() async throws {
        let time = QuickTime(end: 100)
        let diary = Diary(time)
        let runner = ChaosRunner(
            ChaosSchedule(
                [
                    Step(atSeconds: 3, action: .killPostgres, seconds: 0.5),
                    Step(atSeconds: 3.25, action: .killServer),
                ], durationSeconds: 10), effects: diary, time: time)
        try await runner.run()
        #expect(
            diary.text == [
                "begin kill-postgres 3.0", "keep kill-postgres 3.25", "keep kill-postgres 3.5",
                "end kill-postgres 3.5",
                // Due while the other lasted.
                "begin kill-server 3.5", "end kill-server 3.5",
            ])
        #expect(
            runner.marks == [
                LoadReport.Mark(second: 3, endSecond: 3.5, text: "kill -9 of PostgreSQL"),
                LoadReport.Mark(second: 3.5, endSecond: 3.5, text: "kill -9 of the server"),
            ])
    }

    @Test func theEndOfTheMeasuredTimeTakesTheTroubleAway() async throws {
        let time = QuickTime(end: 5)
        let diary = Diary(time)
        let runner = ChaosRunner(
            ChaosSchedule(
                [
                    Step(atSeconds: 4.5, action: .fillDisk, seconds: 60),
                    Step(atSeconds: 6, action: .fillDisk),
                ], durationSeconds: nil), effects: diary, time: time)
        try await runner.run()
        #expect(
            diary.text == ["begin fill-disk 4.5", "keep fill-disk 4.75", "end fill-disk 5.0"])
        #expect(runner.marks == [LoadReport.Mark(second: 4.5, endSecond: 5, text: "disk full")])
    }

    @Test func scalingIsAMomentAndSaysToHowMany() async throws {
        let time = QuickTime(end: 5)
        let runner = ChaosRunner(
            ChaosSchedule([Step(atSeconds: 1, action: .scale, count: 7)], durationSeconds: nil),
            effects: Diary(time), time: time)
        try await runner.run()
        #expect(runner.marks == [LoadReport.Mark(second: 1, text: "7 listeners")])
    }

    @Test func aFailureEndsEverything() async throws {
        let time = QuickTime(end: 100)
        let diary = Diary(time, failing: "end kill-server")
        let runner = ChaosRunner(
            ChaosSchedule(
                [Step(atSeconds: 1, everySeconds: 1, action: .killServer)], durationSeconds: nil),
            effects: diary, time: time)
        await #expect(throws: Diary.Trouble.self) { try await runner.run() }
        #expect(diary.text == ["begin kill-server 1.0", "end kill-server 1.0"])
    }

    @Test func realTimeEndsForAllWhoWaitWhenItIsOver() async throws {
        let clock = RunClock()
        let time = MeasuredTime(clock: clock, start: clock.now())
        #expect(try await time.wait(until: 0))
        async let first = time.wait(until: 1000)
        async let second = time.wait(until: 2000)
        time.finish()
        let waits = try await [first, second]
        #expect(waits == [false, false])
        #expect(try await time.wait(until: 0) == false)
    }

    @Test func realTimeCanBeCancelled() async throws {
        let clock = RunClock()
        let time = MeasuredTime(clock: clock, start: clock.now())
        let waiting = Task { try await time.wait(until: 1000) }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
    }
}
