import Foundation
import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres
import WaybillQueue
import WaybillSealing
import WaybillStore
import WaybillThreads

@testable import WaybillListener

/// Bundles of many parts, from the queue to the receipt.
@Suite(.timeLimit(.minutes(3))) struct ManyPartsTests {
    @Test func indexCountsThroughTheWholeBundleAndTheLowestWinsAcrossParts() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let (twice, other) = (TransactionID.random(), TransactionID.random())
            let message = try place.sealed(parts: [
                [line(twice, payload: "1"), line()],
                ["nonsense", line(twice, payload: "1.0"), line(other, payload: "[1]")],
                [],
                [line(other, payload: "[2]"), line(twice, payload: "7"), line()],
            ])
            _ = try await place.queue.enqueue(message)
            let receipt = try await place.working { try await place.receipts(1) }[0]
            #expect(receipt["state"]?.text == "settled")
            #expect(receipt["bundle_sha256"]?.text == message.bundleDigest.description)
            let counts = try #require(receipt["counts"])
            #expect(counts["accepted"]?.integer == 4 && counts["rejected"]?.integer == 1)
            #expect(counts["duplicate"]?.integer == 1 && counts["conflict"]?.integer == 2)
            guard case .array(let exceptions)? = receipt["exceptions"] else {
                Issue.record("no exceptions")
                return
            }
            #expect(exceptions.map { $0["index"]?.integer } == [2, 3, 5, 6])
            #expect(
                exceptions.map { $0["outcome"]?.text }
                    == ["rejected", "duplicate", "conflict", "conflict"])
            #expect(place.queue.status.depth == 0)
            // The reaper's thread does it, soon.
            while try !place.names(in: "parts").isEmpty {
                try await Task.sleep(for: .milliseconds(1))
            }
        }
    }

    /// BAD-INPUTS, Content: "parts in the wrong order or one part twice".
    @Test func partsInTheWrongOrderOrOnePartTwiceAreABindingMismatch() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let bundles = (0..<4).map { _ in BundleID.random() }
            let lines = [[line()], [line()], [line()]]
            let sealed = try bundles.map { bundle in
                try lines.enumerated().map {
                    try place.part($0.element, number: $0.offset + 1, of: 3, bundle: bundle)
                }
            }
            let wrong = [
                [sealed[0][1], sealed[0][0], sealed[0][2]],
                [sealed[1][0], sealed[1][2], sealed[1][1]],
                [sealed[2][0], sealed[2][0], sealed[2][2]],
                [sealed[3][0], sealed[3][1], sealed[3][0]],
            ]
            for (bundle, parts) in zip(bundles, wrong) {
                _ = try await place.queue.enqueue(place.message(parts, bundle: bundle))
            }
            let receipts = try await place.working { try await place.receipts(4) }
            #expect(
                receipts.map { $0["code"]?.text } == .init(repeating: "binding_mismatch", count: 4))
            #expect(try place.number("SELECT count(*) FROM transactions") == 0)
            #expect(try place.names(in: "dead-letters").count == 12)
        }
    }

    @Test func anyPartThatIsNotWhatItSaysQuarantinesTheBundleBeforeTheFirstRow() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            // Operators are told the member at fault, devices the class.
            let cases: [(PartForm, code: QuarantineCode, member: String)] = [
                (PartForm(part: 2), .bindingMismatch, "part 3: the header's part "),
                (PartForm(parts: 4), .bindingMismatch, "part 3: the header's parts "),
                (PartForm(deviceSequence: 5), .bindingMismatch, "part 3: device_seq "),
                (
                    PartForm(bundle: .random()), .bindingMismatch,
                    "part 3: the header's bundle_id "
                ),
                (PartForm(count: 2), .bindingMismatch, "the header's transactions counts more "),
                (PartForm(count: 0), .bindingMismatch, "the header's transactions counts fewer "),
                // Under another epoch than the first part, or another secret.
                (PartForm(epoch: 2), .cannotOpen, "part 3: "),
                (
                    PartForm(secret: [UInt8](repeating: 1, count: 32)), .cannotOpen, "part 3: "
                ),
            ]
            for (form, _, _) in cases {
                _ = try await place.queue.enqueue(
                    place.sealed(parts: [[line()], [line()], [line()]], change: [3: form]))
            }
            // Tampered with before it was sent.
            let bundle = BundleID.random()
            var parts = try (1...2).map {
                try place.part([line()], number: $0, of: 2, bundle: bundle)
            }
            parts[1][90] ^= 1
            _ = try await place.queue.enqueue(place.message(parts, bundle: bundle))
            let count = Int64(cases.count + 1)
            let receipts = try await place.working { try await place.receipts(count) }
            let codes = cases.map(\.code) + [.cannotOpen]
            #expect(receipts.map { $0["code"]?.text } == codes.map(\.rawValue))
            #expect(receipts.map { $0["detail"]?.text } == codes.map(\.summary))
            let letters = try TestServer.connect(database)
                .query("SELECT code, detail FROM dead_letters")
                .rows.map { (try $0.text(0), try $0.text(1)) }
            for (_, code, member) in cases {
                #expect(
                    letters.contains { $0.0 == code.rawValue && $0.1.hasPrefix(member) },
                    "\(member)")
            }
            #expect(try place.number("SELECT count(*) FROM transactions") == 0)
            #expect(try place.number("SELECT count(*) FROM dead_letters") == Int(count))
        }
    }

    @Test func deviceSeqOfAllPartsIsOneAndCountsOnce() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let form = PartForm(deviceSequence: 3)
            _ = try await place.queue.enqueue(
                place.sealed(parts: [[line()], [line()]], change: [1: form, 2: form]))
            _ = try await place.working { try await place.receipts(1) }
            let progress = try await place.store.progress(place.device.deviceID)
            #expect(progress.deviceSequence == 3 && progress.gaps == [1...2])
        }
    }

    /// CONTRACT, Limits: "bundle … 100,000 transactions", at n-1, n, n+1 of a smaller limit.
    @Test func aBundleMayHaveSoManyTransactionsInAllItsPartsAndNoMore() async throws {
        try await TestServer.withDatabase { database in
            var options = ListenerOptions()
            options.limits.bundleTransactionsMax = 5
            let place = try await Workplace.open(database, options: options)
            defer { place.close() }
            for count in 4...6 {
                _ = try await place.queue.enqueue(
                    place.sealed(parts: [[line(), line()], (2..<count).map { _ in line() }]))
            }
            for count in 4...6 {
                _ = try await place.queue.enqueue(place.sealed((0..<count).map { _ in line() }))
            }
            let receipts = try await place.working { try await place.receipts(6) }
            let states = ["settled", "settled", "quarantined"]
            #expect(receipts.map { $0["state"]?.text } == states + states)
            #expect(
                receipts.compactMap { $0["code"]?.text } == ["header_invalid", "header_invalid"])
            let named = try place.number(
                """
                SELECT count(*) FROM dead_letters
                WHERE detail LIKE '%more transactions than the 5 that a bundle may have'
                """)
            #expect(named == 2)
        }
    }

    /// CONTRACT, Limits: "bundle … 4 GiB unzipped", at n-1, n, n+1 of a smaller limit.
    @Test func aBundleMayInflateToSoManyBytesInAllItsPartsAndNoMore() async throws {
        let bundles = (0..<3).map { _ in BundleID.random() }
        try await TestServer.withDatabase { database in
            var options = ListenerOptions()
            options.limits.bundleUnzippedBytesMax = 4000
            let place = try await Workplace.open(database, options: options)
            defer { place.close() }
            let id = TransactionID.random()
            for (bundle, size) in zip(bundles, 3999...4001) {
                func message(_ padding: Int) throws -> (BundleMessage, Int) {
                    let lines = [
                        [line(id)],
                        [line(id, payload: "\"" + String(repeating: "x", count: padding) + "\"")],
                    ]
                    let parts = try lines.enumerated().map {
                        try place.part($0.element, number: $0.offset + 1, of: 2, bundle: bundle)
                    }
                    let sum = try parts.reduce(0) {
                        let layout = try ArchiveStructure.check(
                            MemorySource($1[...]), limits: place.context.archiveLimits)
                        return $0 + layout.declaredByteCount
                    }
                    return (try place.message(parts, bundle: bundle), sum)
                }
                let (_, without) = try message(0)
                let (bundle, sum) = try message(size - without)
                try #require(sum == size)
                _ = try await place.queue.enqueue(bundle)
            }
            let receipts = try await place.working { try await place.receipts(3) }
            #expect(receipts.map { $0["code"]?.text } == [nil, nil, "limit_unzipped"])
        }
    }

    @Test func aStreamHoldsOneChunkWhateverTheSizeOfTheBundle() async throws {
        try await TestServer.withDatabase { database in
            var options = ListenerOptions()
            options.batchInflatedBytesMax = 0
            let place = try await Workplace.open(database, options: options)
            defer { place.close() }
            let long = "\"" + String(repeating: "x", count: 10_000) + "\""
            let parts = (0..<3).map { _ in
                (0..<300).map { _ in line(payload: long) } + (0..<5000).map { _ in line() }
            }
            let message = try place.sealed(parts: parts)
            let delivery = Delivery(sequence: 1, number: 1, attempt: 1, message: message)
            let lease = Lease(deliveries: [delivery], expires: .after(.seconds(60)))
            let settler = try #require(place.context.makeSettler())
            let opener = BundleOpener(
                context: place.context, settler: settler,
                keeper: LeaseKeeper(lease, queue: place.queue, duration: .seconds(60)))
            let prepared = try #require(try opener.prepare([delivery]).first).get()
            guard case .streamed(let plan) = try opener.open(message, prepared) else {
                Issue.record("not streamed")
                return
            }
            #expect(plan.summary.transactionCount == 15_900)
            let stream = BundleStream(delivery, plan, opener: opener)
            var next = 0
            while let chunk = try stream.next() {
                #expect(chunk.transactions.count <= BundleOpener.linesMax)
                #expect(chunk.byteCount <= BundleOpener.chunkBytesMax + 10_200)
                // What a chunk's lines share with the reader is no more than what it had read on.
                #expect(
                    chunk.transactions.map(\.index) == Array(next..<next + chunk.transactions.count)
                )
                next += chunk.transactions.count
            }
            #expect(next == 15_900)
        }
    }
}
