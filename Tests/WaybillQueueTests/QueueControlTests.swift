import Foundation
import Testing
import WaybillModel
import WaybillThreads

@testable import WaybillQueue

/// Pausing, dead letters that come again, and bundles that end the process.
@Suite(.timeLimit(.minutes(1))) struct QueueControlTests {
    let fixture: QueueFixture

    init() throws { fixture = try QueueFixture() }

    @Test func aPausedQueueHandsOutNothingAndSettlesWhatIsLeased() async throws {
        let queue = try fixture.open(fixture.options())
        _ = try await queue.enqueue(QueueFixture.message(bundle: 1))
        let lease = try #require(try queue.lease(QueueFixture.request()))
        try await queue.pause()
        #expect(queue.isPaused && queue.status.isPaused)
        #expect(try await queue.enqueue(QueueFixture.message(bundle: 2)) == .enqueued)
        #expect(try queue.lease(QueueFixture.request()) == nil)
        try queue.settleAndWait(lease)
        #expect(queue.status.depth == 1)
        try await queue.resume()
        #expect(try queue.lease(QueueFixture.request())?.bundles == [2])
        queue.close()
    }

    @Test func aPauseOutlivesARestartAndAResumeToo() async throws {
        var queue = try fixture.open(fixture.options())
        _ = try await queue.enqueue(QueueFixture.message(bundle: 1))
        try await queue.pause()
        queue.close()
        queue = try fixture.open(fixture.options())
        #expect(queue.isPaused)
        #expect(try queue.lease(QueueFixture.request()) == nil)
        try await queue.resume()
        queue.close()
        queue = try fixture.open(fixture.options())
        defer { queue.close() }
        #expect(!queue.isPaused)
        #expect(try queue.lease(QueueFixture.request())?.bundles == [1])
    }

    @Test func resumingWakesAListenerThatWaits() async throws {
        let queue = try fixture.open(fixture.options())
        defer { queue.close() }
        try await queue.pause()
        _ = try await queue.enqueue(QueueFixture.message(bundle: 7))
        let leased = Monitor<[UInt64]?>(nil)
        let listener = try NamedThread(name: "listener") {
            // A failure shows as no lease.
            let lease = try? queue.lease(QueueFixture.request(wait: .seconds(60)))
            leased.update { $0 = lease?.bundles ?? [] }
        }
        try await queue.resume()
        #expect(leased.wait(timeout: .seconds(20)) { $0 } == [7])
        listener.join()
    }

    private func retry(of message: BundleMessage) -> BundleMessage {
        var message = message
        message.retryOf = BundleMessage.RetryOf(
            deadLetterID: DeadLetterID(high: 3, low: 4), receiptSeq: 17)
        message.parts = message.parts.map {
            PartContent(
                digest: .zero, byteCount: $0.byteCount, location: .deadLetter(name: "letter.1"))
        }
        return message
    }

    @Test func aDeadLetterComesAgainAlthoughItsBundleIsRememberedAsQuarantined() async throws {
        let queue = try fixture.open(fixture.options())
        let message = try QueueFixture.message(bundle: 1)
        _ = try await queue.enqueue(message)
        try queue.settleAndWait(#require(try queue.lease(QueueFixture.request())), .quarantined)
        guard case .existing = try await queue.enqueue(message) else {
            Issue.record("the device's own copy is known")
            return
        }
        let retry = retry(of: message)
        #expect(try await queue.enqueue(retry) == .enqueued)
        guard case .existing(let entry) = try await queue.enqueue(retry) else {
            Issue.record("a second retry waits with the first")
            return
        }
        #expect(entry.state == .queued && queue.status.depth == 1)
        queue.close()
        let reopened = try fixture.open(fixture.options())
        defer { reopened.close() }
        let lease = try #require(try reopened.lease(QueueFixture.request()))
        #expect(lease.deliveries.map(\.message) == [retry])
        #expect(try reopened.liveFileNames().isEmpty)
        try reopened.settleAndWait(lease)
        #expect(reopened.find(message.key)?.state == .settled)
        guard case .existing = try await reopened.enqueue(retry) else {
            Issue.record("what was settled is not tried again")
            return
        }
    }

    @Test func aBundleThatWasBeingOpenedWhenTheProcessWasKilledIsCharged() async throws {
        let queue = try fixture.open(fixture.options())
        for bundle in 1...3 as ClosedRange<UInt64> {
            _ = try await queue.enqueue(QueueFixture.message(device: bundle, bundle: bundle))
        }
        let lease = try #require(try queue.lease(QueueFixture.request()))
        #expect(lease.deliveries.allSatisfy { $0.attempt == 1 && $0.failingFor == nil })
        queue.endOpening(queue.beginOpening(lease.deliveries[0]))
        _ = queue.beginOpening(lease.deliveries[1])
        try fixture.crash("log", as: "copy")
        queue.close()
        var killed = try fixture.open(fixture.options("copy"))
        let alone = try #require(try killed.lease(QueueFixture.request()))
        #expect(alone.bundles == [2] && alone.deliveries.map(\.attempt) == [2])
        #expect(alone.deliveries[0].failingFor != nil)
        #expect(
            try killed.lease(QueueFixture.request()) == nil, "nothing else is at work meanwhile")
        // The charge is durable, and counts once.
        killed.close()
        killed = try fixture.open(fixture.options("copy"))
        defer { killed.close() }
        let again = try #require(try killed.lease(QueueFixture.request()))
        #expect(again.bundles == [1, 2, 3] && again.deliveries.map(\.attempt) == [1, 2, 1])
    }

    /// FAULTS 27: which of several it was nobody knows, so none is charged, and each comes alone.
    @Test func case27SeveralAtWorkWhenTheProcessWasKilledComeOneAtATimeUncharged() async throws {
        let queue = try fixture.open(fixture.options())
        for bundle in 1...5 as ClosedRange<UInt64> {
            _ = try await queue.enqueue(QueueFixture.message(device: bundle % 4, bundle: bundle))
        }
        let lease = try #require(try queue.lease(QueueFixture.request()))
        #expect(Set(lease.bundles) == [1, 2, 3, 4, 5])
        for delivery in lease.deliveries where [3, 5].contains(delivery.message.bundleID.low) {
            _ = queue.beginOpening(delivery)
        }
        try fixture.crash("log", as: "copy")
        queue.close()
        let killed = try fixture.open(fixture.options("copy"))
        defer { killed.close() }
        // Before the fifth goes the first, of the same device.
        for expected in [[3], [1], [5]] as [[UInt64]] {
            let alone = try #require(try killed.lease(QueueFixture.request()))
            #expect(alone.bundles == expected && alone.deliveries.map(\.attempt) == [1])
            #expect(try killed.lease(QueueFixture.request()) == nil)
            try killed.settleAndWait(alone)
        }
        #expect(Set(try #require(try killed.lease(QueueFixture.request())).bundles) == [2, 4])
    }

    @Test func case27ASuspectThatIsTriedAgainLaterStandsInNobodysWay() async throws {
        let queue = try fixture.open(fixture.options())
        for bundle in 1...2 as ClosedRange<UInt64> {
            _ = try await queue.enqueue(QueueFixture.message(device: bundle, bundle: bundle))
        }
        let lease = try #require(try queue.lease(QueueFixture.request()))
        for delivery in lease.deliveries { _ = queue.beginOpening(delivery) }
        try fixture.crash("log", as: "copy")
        queue.close()
        let killed = try fixture.open(fixture.options("copy"))
        defer { killed.close() }
        let first = try #require(try killed.lease(QueueFixture.request()))
        try killed.settle(first, [.retry(after: .seconds(3600), charged: false)]) {}
        let second = try #require(try killed.lease(QueueFixture.request()))
        #expect(first.bundles == [1] && second.bundles == [2])
        try killed.settleAndWait(second)
        _ = try await killed.enqueue(QueueFixture.message(device: 3, bundle: 3))
        #expect(try killed.lease(QueueFixture.request())?.bundles == [3])
    }

    @Test func anOrderlyEndWhileABundleIsOpenedIsNotCharged() async throws {
        let queue = try fixture.open(fixture.options())
        _ = try await queue.enqueue(QueueFixture.message(bundle: 1))
        let lease = try #require(try queue.lease(QueueFixture.request()))
        _ = queue.beginOpening(lease.deliveries[0])
        queue.close()
        let reopened = try fixture.open(fixture.options())
        defer { reopened.close() }
        #expect(try reopened.lease(QueueFixture.request())?.deliveries.first?.attempt == 1)
    }

    @Test func theTimeOfTheFirstFailureOutlivesARestart() async throws {
        let queue = try fixture.open(fixture.options())
        _ = try await queue.enqueue(QueueFixture.message(bundle: 1))
        let lease = try #require(try queue.lease(QueueFixture.request()))
        try queue.settleAndWait(lease, .retry(after: .zero, charged: true))
        let failing = try #require(try queue.lease(QueueFixture.request())?.deliveries.first)
        let before = try #require(failing.failingFor)
        queue.close()
        let reopened = try fixture.open(fixture.options())
        defer { reopened.close() }
        let delivery = try #require(try reopened.lease(QueueFixture.request())?.deliveries.first)
        let after = try #require(delivery.failingFor)
        #expect(delivery.attempt == 2 && after >= before - .milliseconds(1))
    }
}
