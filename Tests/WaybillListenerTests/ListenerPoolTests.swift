import Foundation
import PostgresTesting
import Testing
import WaybillModel
import WaybillQueue
import WaybillStore

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

    @Test func aBundleWhoseFileIsGoneIsQuarantinedAfterItsAttempts() async throws {
        try await TestServer.withDatabase { database in
            var options = ListenerOptions()
            options.attemptsMax = 1
            let place = try await Workplace.open(database, options: options)
            defer { place.close() }
            let message = try place.sealed([line(.random())], asFile: true)
            try FileManager.default.removeItem(
                atPath: place.folder + "/parts/\(message.bundleID).1.part")
            let next = try place.sealed([line(.random())])
            _ = try await place.queue.enqueue(message)
            _ = try await place.queue.enqueue(next)
            let receipts = try await place.working { try await place.receipts(2) }
            #expect(receipts[0]["code"]?.text == "processing_failed")
            #expect(receipts[1]["state"]?.text == "settled")
        }
    }

    @Test func theNumberOfListenersChangesWhileTheyRun() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let total = 40
            try await place.working {
                for number in 0..<total {
                    try place.listeners.setTarget([0, 6, 1, 3][number % 4])
                    _ = try await place.queue.enqueue(place.sealed([line(.random())]))
                }
                try place.listeners.setTarget(2)
                _ = try await place.receipts(Int64(total))
                #expect(throws: ListenerError.self) { try place.listeners.setTarget(257) }
                #expect(throws: ListenerError.self) { try place.listeners.setTarget(-1) }
                #expect(place.listeners.status.target == 2)
            }
            #expect(place.listeners.status.running == 0)
        }
    }
}
