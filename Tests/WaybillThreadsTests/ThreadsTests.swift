import Testing

@testable import WaybillThreads

@Suite struct MonitorTests {
    @Test func aWaiterSeesTheChangeThatAnotherThreadMakes() throws {
        let monitor = Monitor(0)
        let thread = try NamedThread(name: "test-changer") { monitor.update { $0 = 7 } }
        let seen = monitor.wait(timeout: .seconds(30)) { $0 == 7 ? $0 : nil }
        thread.join()
        #expect(seen == 7)
    }

    @Test func waitingEndsWhenTheTimeIsOver() {
        let monitor = Monitor(0)
        let seen: Int? = monitor.wait(timeout: .milliseconds(5)) { _ in nil }
        #expect(seen == nil)
    }
}

@Suite struct BoundedChannelTests {
    @Test func everythingArrivesInOrderThroughARoomOfOne() throws {
        let channel = BoundedChannel<Int>(capacity: 1)
        let sender = try NamedThread(name: "test-sender") {
            for number in 0..<1000 { _ = channel.send(number) }
            channel.close()
        }
        var received: [Int] = []
        while let number = channel.receive() { received.append(number) }
        sender.join()
        #expect(received == Array(0..<1000))
    }

    @Test func aFullOrClosedChannelRefusesWithoutWaiting() {
        let channel = BoundedChannel<Int>(capacity: 1)
        #expect(channel.trySend(1))
        #expect(!channel.trySend(2))
        channel.close()
        #expect(channel.receive() == 1)
        #expect(channel.receive() == nil)
        #expect(!channel.send(3))
    }
}

@Suite struct DeadlineTests {
    @Test func movesForwardAndSaturates() {
        let start = Deadline(nanoseconds: 5)
        #expect(start.advanced(by: .milliseconds(2)).nanoseconds == 2_000_005)
        #expect(start.advanced(by: .seconds(-1)) == start)
        #expect(start.advanced(by: .seconds(Int64.max)).nanoseconds == .max)
        #expect(start.advanced(by: .seconds(1)).duration(since: start) == .seconds(1))
        #expect(start.duration(since: start.advanced(by: .seconds(1))) == .zero)
    }
}

@Suite struct BackoffTests {
    @Test func growsUpToItsCeilingAndNeverBelowHalf() {
        var backoff = Backoff(base: .milliseconds(100), ceiling: .seconds(1))
        var generator = SystemRandomNumberGenerator()
        for ceiling in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next(using: &generator)
            #expect(wait >= .milliseconds(ceiling) / 2 && wait <= .milliseconds(ceiling))
        }
        backoff.reset()
        #expect(backoff.next(using: &generator) <= .milliseconds(100))
    }
}

private actor Counter {
    nonisolated let executor: ThreadExecutor
    private var count = 0

    init(executor: ThreadExecutor) {
        self.executor = executor
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    func increment() -> Int {
        count += 1
        return count
    }
}

@Suite struct ThreadExecutorTests {
    @Test func runsAllJobsOfItsActor() async throws {
        let counter = Counter(executor: try ThreadExecutor(name: "test-actor"))
        await withTaskGroup { group in
            for _ in 0..<100 { group.addTask { _ = await counter.increment() } }
        }
        let last = await counter.increment()
        #expect(last == 101)
        counter.executor.stop()
    }
}
