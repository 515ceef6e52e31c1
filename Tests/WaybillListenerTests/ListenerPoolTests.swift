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

/// A queue, a database and a device of one test's own, with listeners between them.
private struct Workplace {
    let folder: String
    let queue: DiskQueue
    let store: Store
    let pool: PostgresPool
    let listeners: ListenerPool
    let bell: ReceiptBell
    let device: RegisteredDevice
    let secret: [UInt8]

    static func open(
        _ database: String, options: ListenerOptions = ListenerOptions()
    ) async throws -> Workplace {
        let folder = NSTemporaryDirectory() + "waybill-listener-\(UUID().uuidString)"
        for name in ["", "/log", "/parts", "/dead-letters"] {
            try FileManager.default.createDirectory(
                atPath: folder + name, withIntermediateDirectories: true)
        }
        let queue = try DiskQueue.open(
            options: DiskQueueOptions(
                directory: folder + "/log", masterKey: [UInt8](repeating: 7, count: 32)),
            onFatal: { _ in })
        let rootKey = RootKey(bytes: [UInt8](repeating: 9, count: 32))
        let bell = ReceiptBell()
        let pool = try Store.makePool(connectionString: database, threads: 2)
        let store = Store(pool: pool, rootKey: rootKey, bell: bell)
        let signer = try await store.signer()
        let tenant = try #require(TenantSlug("acme"))
        _ = try await store.createTenant(tenant)
        let code = try #require(try await store.invite(tenant: tenant, count: 1).first).code
        let enrollment = try await store.enroll(
            EnrollmentRequest(code: code, name: "tablet", requestID: nil))
        let listeners = ListenerPool(
            context: ListenerContext(
                options: options, queue: queue, rootKey: rootKey, partsDirectory: folder + "/parts",
                reaper: try PartReaper(directory: folder + "/parts"),
                deadLetters: DeadLetterFiles(
                    directory: folder + "/dead-letters", rootKey: rootKey),
                makeSettler: {
                    Settler(
                        connectionString: database, rootKey: rootKey, signer: signer, bell: bell,
                        node: "test")
                }))
        return Workplace(
            folder: folder, queue: queue, store: store, pool: pool, listeners: listeners,
            bell: bell, device: enrollment.device, secret: enrollment.secret)
    }

    func close() {
        queue.close()
        pool.close()
        // What stays in the temporary folder harms nobody.
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Runs the listeners while `body` runs.
    func working<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        let listeners = listeners
        let task = Task { try await listeners.run() }
        let result: Result<Value, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        task.cancel()
        _ = await task.result
        return try result.get()
    }

    func sealed(
        _ lines: [String], bundle: BundleID = .random(), header: BundleID? = nil,
        secret: [UInt8]? = nil, asFile: Bool = false
    ) throws -> BundleMessage {
        let head = EntryHeader(
            bundleID: (header ?? bundle).description, deviceID: device.deviceID.description,
            part: 1, parts: 1, transactions: lines.count, deviceSequence: nil,
            sealedAt: "2026-11-21T03:00:00Z")
        let identity = PartIdentity(
            tenant: device.tenantSlug.text, deviceID: device.deviceID.description,
            bundleID: bundle.bytes, epoch: device.epoch, part: 1)
        let bytes = try PartSealer.seal(
            head.line() + Array(lines.joined(separator: "\n").utf8),
            password: PartPassword.derive(secret: secret ?? self.secret, identity: identity))
        var location = PartContent.Location.inline(bytes)
        if asFile {
            let name = "\(bundle).part"
            try Data(bytes).write(to: URL(filePath: folder + "/parts/" + name))
            location = .file(name: name)
        }
        let digest = Digest256.of(bytes)
        return BundleMessage(
            tenant: device.tenantID, tenantSlug: device.tenantSlug, deviceID: device.deviceID,
            bundleID: bundle, epoch: nil, bundleDigest: .ofBundle(parts: [digest]),
            parts: [PartContent(digest: digest, byteCount: bytes.count, location: location)],
            startedAt: .now, receivedAt: .now, source: nil)
    }

    /// The device's receipts once there are so many.
    func receipts(_ count: Int64) async throws -> [JSONValue] {
        while true {
            let registration = bell.register(for: device.deviceID)
            let batch = try await store.receipts(
                device.deviceID, after: 0, limit: 1000, bytesMax: 1 << 24)
            if batch.last >= count {
                return try batch.documents.map {
                    try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8))
                }
            }
            await registration.wait(timeout: .seconds(1))
        }
    }
}

private func line(_ id: TransactionID, payload: String = "1") -> String {
    #"{"id":"\#(id)","type":"t","occurred_at":"2026-11-21T02:00:00Z","payload":\#(payload)}"#
}

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
                atPath: place.folder + "/parts/\(message.bundleID).part")
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
