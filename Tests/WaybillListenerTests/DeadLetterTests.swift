import Foundation
import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres
import WaybillQueue
import WaybillStore

@testable import WaybillListener

/// Dead letters: their files, and their way through queue and database again.
@Suite(.timeLimit(.minutes(3))) struct DeadLetterTests {
    private func letter(in place: Workplace) throws -> StoredDeadLetter {
        let row = try TestServer.connect(place.database).query(
            """
            SELECT d.dead_letter_id, d.bundle_id, r.bundle_digest, d.receipt_seq, d.code, d.detail,
                d.file_name, d.byte_count, array_to_string(r.part_byte_counts, ','), d.attempts,
                d.last_error, d.resolution, d.epoch::bigint
            FROM dead_letters d JOIN receipts r ON r.device_id = d.device_id AND r.seq = d.receipt_seq
            """)[0]
        return StoredDeadLetter(
            id: DeadLetterID(high: try row.uuid(0).high, low: try row.uuid(0).low),
            tenant: place.device.tenantID, tenantSlug: place.device.tenantSlug,
            deviceID: place.device.deviceID,
            bundleID: BundleID(high: try row.uuid(1).high, low: try row.uuid(1).low),
            bundleDigest: try #require(Digest256(bytes: try row.bytes(2))),
            epoch: try row.int8IfPresent(12).map { Int($0) }, deviceName: "tablet",
            receiptSeq: try row.int8(3), code: try row.text(4), detail: try row.text(5),
            node: "test", fileName: try row.text(6), byteCount: Int(try row.int8(7)),
            partByteCounts: try row.text(8).split(separator: ",").compactMap { Int($0) },
            attempts: Int(try row.int4(9)), lastError: row.textIfPresent(10),
            createdAt: .now, resolution: row.textIfPresent(11))
    }

    /// Makes the device's stored secret the one that its bundles were sealed with.
    private func mend(_ secret: [UInt8], in place: Workplace) throws {
        let device = place.device
        let sealed = try place.rootKey.seal(
            secret, context: "device-secret/\(device.deviceID)/\(device.epoch)")
        let digits = sealed.map { String(UInt16($0) | 0x100, radix: 16).suffix(2) }.joined()
        try place.run("UPDATE waybill.device_keys SET secret = '\\x\(digits)'")
    }

    @Test(arguments: [false, true])
    func aRetryThatSucceedsSupersedesTheReceiptAndResolvesTheDeadLetter(isLarge: Bool) async throws
    {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let secret = [UInt8](repeating: 1, count: 32)
            let form = PartForm(deviceSequence: 1, secret: secret)
            let parts = isLarge ? [[line()], [line(), "{}"]] : [[line(), line(), "{}"]]
            let message = try place.sealed(
                parts: parts, change: [1: form, 2: form])
            _ = try await place.queue.enqueue(message)
            _ = try await place.working { try await place.receipts(1) }
            let desk = DeadLetterDesk(queue: place.queue, files: place.context.deadLetters)
            #expect(try place.context.deadLetters.contents().byteCount > message.byteCount)
            // Nothing has changed: it fails again, without a receipt.
            try await desk.retry(letter(in: place))
            _ = try await place.queue.enqueue(place.sealed([line()]))
            _ = try await place.working { try await place.receipts(2) }
            let failed = try letter(in: place)
            #expect(failed.attempts == 1 && failed.resolution == nil)
            #expect(failed.lastError?.hasPrefix("cannot_open") == true)
            #expect(place.queue.find(message.key)?.state == .quarantined)
            #expect(
                try place.number(
                    "SELECT count(*) FROM audit_events WHERE kind = 'dead_letter.retry_failed'")
                    == 1)
            // Now it opens.
            try mend(secret, in: place)
            try await desk.retry(failed)
            let receipts = try await place.working { try await place.receipts(3) }
            #expect(receipts[2]["supersedes"]?.integer == 1)
            #expect(receipts[2]["state"]?.text == "settled")
            #expect(receipts[2]["counts"]?["accepted"]?.integer == 2)
            #expect(receipts[2]["bundle_sha256"]?.text == message.bundleDigest.description)
            #expect(try letter(in: place).resolution == "settled")
            #expect(try place.number("SELECT superseded_by FROM receipts WHERE seq = 1") == 3)
            #expect(place.queue.find(message.key)?.state == .settled)
            // The reaper's thread does it, soon.
            while try !place.names(in: "dead-letters").isEmpty {
                try await Task.sleep(for: .milliseconds(1))
            }
        }
    }

    @Test func aRetryOfWhatAnOperatorDiscardedMeanwhileChangesNothing() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let secret = [UInt8](repeating: 1, count: 32)
            _ = try await place.queue.enqueue(place.sealed([line()], secret: secret))
            _ = try await place.working { try await place.receipts(1) }
            let desk = DeadLetterDesk(queue: place.queue, files: place.context.deadLetters)
            try mend(secret, in: place)
            try await desk.retry(letter(in: place))
            try place.run(
                "UPDATE waybill.dead_letters SET resolved_at = now(), resolution = 'discarded'")
            _ = try await place.queue.enqueue(place.sealed([line()], secret: secret))
            let receipts = try await place.working { try await place.receipts(2) }
            #expect(receipts.map { $0["state"]?.text } == ["quarantined", "settled"])
            #expect(receipts[1]["supersedes"] == nil)
            #expect(try place.number("SELECT count(*) FROM transactions") == 1)
            let files = place.context.deadLetters
            #expect(files.remove(try letter(in: place).partFileNames) == 1)
            #expect(try files.contents() == DeadLetterContents())
            await #expect(throws: ListenerError.self) { try await desk.retry(letter(in: place)) }
        }
    }

    /// A quarantined bundle that would open now, and its letter.
    private func quarantined(in place: Workplace) async throws -> StoredDeadLetter {
        let secret = [UInt8](repeating: 1, count: 32)
        _ = try await place.queue.enqueue(place.sealed([line()], secret: secret))
        _ = try await place.working { try await place.receipts(1) }
        try mend(secret, in: place)
        return try letter(in: place)
    }

    /// A letter after a failed retry, and the words of it.
    private func expectFailed(_ place: Workplace, _ words: String) async throws {
        _ = try await place.working {
            while place.queue.status.depth > 0 { try await Task.sleep(for: .milliseconds(1)) }
        }
        let failed = try letter(in: place)
        #expect(failed.attempts == 1 && failed.resolution == nil)
        #expect(failed.lastError?.contains(words) == true, "\(failed.lastError ?? "")")
        #expect(try await place.receipts(1).count == 1)
    }

    @Test func aRetryOfADamagedDeadLetterFailsAndTheLetterStaysOpen() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let letter = try await quarantined(in: place)
            let file = URL(filePath: place.folder + "/dead-letters/" + letter.partFileNames[0])
            var bytes = try Data(contentsOf: file)
            bytes[100] ^= 1
            try bytes.write(to: file)
            try await DeadLetterDesk(queue: place.queue, files: place.context.deadLetters)
                .retry(letter)
            try await expectFailed(place, "a dead letter's file is damaged")
        }
    }

    @Test func aRetryWhoseFileIsGoneFailsAndTheLetterStaysOpen() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let letter = try await quarantined(in: place)
            try await DeadLetterDesk(queue: place.queue, files: place.context.deadLetters)
                .retry(letter)
            #expect(place.context.deadLetters.remove(letter.partFileNames) == 1)
            try await expectFailed(place, "this node has not the dead letter's files")
        }
    }

    /// Attempts: "An operator's retry has one attempt".
    @Test func aRetryThatEndedTheProcessIsNotOpenedAgain() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let letter = try await quarantined(in: place)
            try await DeadLetterDesk(queue: place.queue, files: place.context.deadLetters)
                .retry(letter)
            let lease = try #require(
                try place.queue.lease(
                    LeaseRequest(
                        bundlesMax: 1, bytesMax: 1, duration: .seconds(60), wait: .zero)))
            // As the next start does with what was being opened.
            try place.queue.settle(lease, [.retry(after: .zero, charged: true)]) {}
            try await expectFailed(place, "the server ended while it was opened")
        }
    }

    // MARK: Files

    private func files() throws -> (folder: URL, files: DeadLetterFiles, rootKey: RootKey) {
        let folder = FileManager.default.temporaryDirectory
            .appending(path: "waybill-letters-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let rootKey = RootKey(bytes: [UInt8](repeating: 9, count: 32))
        return (folder, DeadLetterFiles(directory: folder.path, rootKey: rootKey), rootKey)
    }

    private func remove(_ folder: URL) {
        // What stays in the temporary folder harms nobody.
        try? FileManager.default.removeItem(at: folder)
    }

    private func message(_ bytes: [UInt8]) throws -> BundleMessage {
        BundleMessage(
            tenant: TenantID(1), tenantSlug: try #require(TenantSlug("acme")), deviceID: .random(),
            bundleID: .random(), epoch: nil, bundleDigest: .zero,
            parts: [PartContent(digest: .zero, byteCount: bytes.count, location: .inline(bytes))],
            startedAt: .now, receivedAt: .now, source: nil)
    }

    private func keep(_ bytes: [UInt8], _ files: DeadLetterFiles) throws -> String {
        let kept = try files.keep(message(bytes)) {
            try PartSource($0, directory: "", deadLetters: files)
        }
        return DeadLetterFiles.partName(kept.name, 1)
    }

    @Test(arguments: [1, 1000, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 700_000])
    func aFileOfAnySizeIsReadBackInPieces(byteCount: Int) throws {
        let (folder, files, _) = try files()
        defer { remove(folder) }
        let bytes = (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        let file = try files.open(keep(bytes, files))
        #expect(file.byteCount == byteCount)
        #expect(try file.read(at: 0, count: byteCount + 1) == bytes)
        var pieces: [UInt8] = []
        while pieces.count < byteCount {
            pieces += try file.read(at: pieces.count, count: 100_001)
        }
        #expect(pieces == bytes)
        #expect(try file.read(at: byteCount - 1, count: 9) == [bytes[byteCount - 1]])
        #expect(try file.read(at: byteCount, count: 9) == [])
    }

    @Test func aFileThatWasCutGrownOrWhoseChunksChangedPlacesDoesNotOpen() throws {
        let (folder, files, _) = try files()
        defer { remove(folder) }
        let bytes = [UInt8](repeating: 5, count: 3 * (256 << 10))
        let name = try keep(bytes, files)
        let path = folder.appending(path: name)
        let whole = try Data(contentsOf: path)
        let chunk = (256 << 10) + 16
        func readsBack(_ changed: Data) throws -> Bool {
            try changed.write(to: path)
            do {
                return try files.open(name).read(at: 0, count: bytes.count) == bytes
            } catch ListenerError.deadLetterDamaged {
                return false
            }
        }
        #expect(try readsBack(whole))
        #expect(try !readsBack(whole.dropLast(chunk)))
        #expect(try !readsBack(whole.dropLast()))
        #expect(try !readsBack(whole + [0]))
        #expect(try !readsBack(Data()))
        let (head, rest) = (whole.prefix(40), whole.dropFirst(40))
        let (first, second) = (rest.prefix(chunk), rest.dropFirst(chunk).prefix(chunk))
        #expect(try !readsBack(head + second + first + rest.dropFirst(2 * chunk)))
        // A shorter file with a header that says so.
        var shorter = whole.dropLast(chunk)
        shorter.replaceSubrange(
            16..<24, with: withUnsafeBytes(of: UInt64(2 * (256 << 10)).littleEndian) { Array($0) })
        #expect(try !readsBack(shorter))
        for offset in [0, 7, 9, 20, 30, 40, 300_000, whole.count - 1] {
            var flipped = whole
            flipped[offset] ^= 1
            #expect(try !readsBack(flipped), "byte \(offset)")
        }
        #expect(try readsBack(whole))
    }

    @Test func aFileInTheOldFormStillOpens() throws {
        let (folder, files, rootKey) = try files()
        defer { remove(folder) }
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0) }
        let sealed = try rootKey.seal(bytes, context: "dead-letter/old.1")
        try Data(sealed).write(to: folder.appending(path: "old.1"))
        let file = try files.open("old.1")
        #expect(file.byteCount == bytes.count)
        #expect(try file.read(at: 50_000, count: 10) == Array(bytes[50_000..<50_010]))
        // Under another name it is another file.
        try Data(sealed).write(to: folder.appending(path: "old.2"))
        #expect(throws: ListenerError.self) { try files.open("old.2") }
    }
}
