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
        #expect(reopened.liveFileNames.isEmpty)
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
        var again = try #require(try killed.lease(QueueFixture.request()))
        #expect(again.deliveries.map(\.attempt) == [1, 2, 1])
        #expect(again.deliveries[1].failingFor != nil)
        // The charge is durable, and counts once.
        killed.close()
        killed = try fixture.open(fixture.options("copy"))
        again = try #require(try killed.lease(QueueFixture.request()))
        #expect(again.deliveries.map(\.attempt) == [1, 2, 1])
        killed.close()
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
