import Foundation
import PostgresTesting
import Synchronization
import Testing
import WaybillModel
import WaybillQueue
import WaybillStore
import WaybillThreads

@testable import WaybillListener

@Suite(.timeLimit(.minutes(3))) struct ListenerPoolTests {
    @Test func settlesBundlesInTheOrderInWhichTheyCame() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let known = TransactionID.random()
            let first = try place.sealed([line(known), line(.random())])
            let second = try place.sealed([
                line(known, payload: "1.0"), line(known, payload: "2"), "nonsense", line(.random()),
            ])
            let wrong = try place.sealed(
                [line(.random())], secret: [UInt8](repeating: 1, count: 32))
            let bound = try place.sealed([line(.random())], header: .random())
            for message in [first, second, wrong, bound] {
                _ = try await place.queue.enqueue(message)
            }
            let receipts = try await place.working { try await place.receipts(4) }
            #expect(
                receipts.map { $0["bundle_id"]?.text }
                    == [first, second, wrong, bound].map {
                        $0.bundleID.description
                    })
            #expect(
                receipts.map { $0["state"]?.text } == [
                    "settled", "settled", "quarantined", "quarantined",
                ])
            #expect(receipts[0]["counts"]?["accepted"]?.integer == 2)
            let counts = receipts[1]["counts"]
            #expect(counts?["accepted"]?.integer == 1)
            #expect(counts?["duplicate"]?.integer == 1)
            #expect(counts?["conflict"]?.integer == 1)
            #expect(counts?["rejected"]?.integer == 1)
            #expect(receipts[2]["code"]?.text == "cannot_open")
            #expect(receipts[3]["code"]?.text == "binding_mismatch")
            #expect(place.queue.status.depth == 0)
            let kept = try FileManager.default.contentsOfDirectory(
                atPath: place.folder + "/dead-letters")
            #expect(kept.count == 2)
        }
    }

    @Test func streamsWhatIsTooLargeForMemoryAndRemovesItsFile() async throws {
        try await TestServer.withDatabase { database in
            var options = ListenerOptions()
            options.batchInflatedBytesMax = 10_000
            let place = try await Workplace.open(database, options: options)
            defer { place.close() }
            let lines = (0..<3000).map { _ in line(.random()) } + ["{}"]
            let message = try place.sealed(lines, asFile: true)
            _ = try await place.queue.enqueue(message)
            let receipts = try await place.working { try await place.receipts(1) }
            #expect(receipts[0]["counts"]?["accepted"]?.integer == 3000)
            #expect(receipts[0]["counts"]?["rejected"]?.integer == 1)
            let left = try FileManager.default.contentsOfDirectory(atPath: place.folder + "/parts")
            #expect(left.isEmpty)
        }
    }

    @Test func theNumberOfListenersChangesWhileTheyRun() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let total = 40
            func set(_ target: Int) throws {
                _ = try place.listeners.change(.fixed(target)) { _ in true }
            }
            try await place.working {
                for number in 0..<total {
                    try set([0, 6, 1, 3][number % 4])
                    _ = try await place.queue.enqueue(place.sealed([line(.random())]))
                }
                try set(2)
                _ = try await place.receipts(Int64(total))
                #expect(throws: ListenerError.self) { try set(257) }
                #expect(throws: ListenerError.self) { try set(-1) }
                #expect(place.listeners.status.target == 2)
            }
            #expect(place.listeners.status.running == 0)
        }
    }
    @Test func aThreadThatTheSystemRefusedIsAskedForAgain() async throws {
        try await TestServer.withDatabase { database in
            var options = ListenerOptions()
            options.target = 1
            options.restartInterval = .milliseconds(1)
            let place = try await Workplace.open(database, options: options)
            defer { place.close() }
            let refusals = Mutex(3)
            let pool = ListenerPool(context: place.context, keep: { _ in }) { name, body in
                let isRefused = refusals.withLock { left in
                    left -= 1
                    return left >= 0
                }
                if isRefused { throw ThreadError.cannotStart(errno: EAGAIN) }
                _ = try NamedThread(name: name, body: body)
            }
            let task = Task { try await pool.run() }
            _ = try await place.queue.enqueue(place.sealed([line()]))
            #expect(try await place.receipts(1)[0]["state"]?.text == "settled")
            task.cancel()
            try await task.value
            #expect(pool.status.running == 0)
        }
    }

    @Test func aPoolWhoseThreadsAreAllRefusedEndsAllTheSame() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let pool = ListenerPool(context: place.context, keep: { _ in }) { _, _ in
                throw ThreadError.cannotStart(errno: EAGAIN)
            }
            let task = Task { try await pool.run() }
            task.cancel()
            try await task.value
            #expect(pool.status.running == 0)
        }
    }
}
