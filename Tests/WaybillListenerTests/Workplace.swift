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
struct Workplace {
    let folder: String
    let database: String
    let queue: DiskQueue
    let store: Store
    let pool: PostgresPool
    let context: ListenerContext
    let listeners: ListenerPool
    let bell: ReceiptBell
    let rootKey: RootKey
    let device: RegisteredDevice
    let secret: [UInt8]

    /// - Parameters:
    ///   - wrap: what the listeners see in place of the queue.
    ///   - wrapSettler: what they see in place of the database.
    static func open(
        _ database: String, options: ListenerOptions = ListenerOptions(),
        wrap: (DiskQueue) -> any ListenerQueue = { $0 },
        wrapSettler: @escaping @Sendable (Settler) -> any BundleSettler = { $0 }
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
        let enrollment = try await enroll(store)
        let context = ListenerContext(
            options: options, queue: CommitWatch(wrap(queue), database: database), rootKey: rootKey,
            partsDirectory: folder + "/parts", reaper: try PartReaper(),
            deadLetters: DeadLetterFiles(directory: folder + "/dead-letters", rootKey: rootKey),
            makeSettler: {
                wrapSettler(
                    Settler(
                        connectionString: database, rootKey: rootKey, signer: signer, bell: bell,
                        filter: ReceiptFilter(), node: "test"))
            })
        return Workplace(
            folder: folder, database: database, queue: queue, store: store, pool: pool,
            context: context, listeners: ListenerPool(context: context), bell: bell,
            rootKey: rootKey, device: enrollment.device, secret: enrollment.secret)
    }

    /// Another device of the same tenant.
    static func enroll(_ store: Store) async throws -> Enrollment {
        let tenant = try #require(TenantSlug("acme"))
        let code = try #require(try await store.invite(tenant: tenant, count: 1).first).code
        return try await store.enroll(
            EnrollmentRequest(code: code, name: "tablet", requestID: nil))
    }

    func close() {
        queue.close()
        pool.close()
        // What stays in the temporary folder harms nobody.
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Runs the listeners while `body` runs.
    func working<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        let listeners = ListenerPool(context: context)
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

    /// The device's receipts once there are so many.
    func receipts(_ count: Int64, of other: DeviceID? = nil) async throws -> [JSONValue] {
        let deviceID = other ?? device.deviceID
        while true {
            let registration = bell.register(for: deviceID)
            let batch = try await store.receipts(
                deviceID, after: 0, limit: 1000, bytesMax: 1 << 24)
            // Not `last`, which counts receipts that came after these were read.
            if batch.sequences.last ?? 0 >= count {
                return try batch.documents.map {
                    try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8))
                }
            }
            await registration.wait(timeout: .seconds(1))
        }
    }

    /// Names in a folder of the test's own.
    func names(in name: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder + "/" + name).sorted()
    }

    /// One number, read by the owner of the database.
    func number(_ statement: PostgresStatement) throws -> Int {
        Int(try TestServer.connect(database).query(statement)[0].int8(0))
    }

    func run(_ script: String) throws {
        try TestServer.connect(database).execute(script: script)
    }
}

/// How a part is sealed, where that is not what it should be.
struct PartForm {
    /// Of the header line.
    var part: Int?
    var parts: Int?
    var count: Int?
    var deviceSequence: Int64?
    var bundle: BundleID?
    /// Of the password.
    var passwordPart: Int?
    var epoch: Int?
    var secret: [UInt8]?
}

extension Workplace {
    /// The sealed bytes of one part.
    func part(
        _ lines: [String], number part: Int = 1, of parts: Int = 1, bundle: BundleID,
        form: PartForm = PartForm(), by enrollment: Enrollment? = nil
    ) throws -> [UInt8] {
        let device = enrollment?.device ?? device
        let head = EntryHeader(
            bundleID: (form.bundle ?? bundle).description,
            deviceID: device.deviceID.description, part: form.part ?? part,
            parts: form.parts ?? parts, transactions: form.count ?? lines.count,
            deviceSequence: form.deviceSequence, sealedAt: "2026-11-21T03:00:00Z")
        let identity = PartIdentity(
            tenant: device.tenantSlug.text, deviceID: device.deviceID.description,
            bundleID: bundle.bytes, epoch: form.epoch ?? device.epoch,
            part: form.passwordPart ?? part)
        return try PartSealer.seal(
            head.line() + Array(lines.joined(separator: "\n").utf8),
            password: PartPassword.derive(
                secret: form.secret ?? enrollment?.secret ?? secret, identity: identity))
    }

    /// A bundle of these parts, each in a file unless it is the only one.
    func message(
        _ parts: [[UInt8]], bundle: BundleID, asFile: Bool? = nil, by other: RegisteredDevice? = nil
    ) throws -> BundleMessage {
        let device = other ?? device
        let digests = parts.map { Digest256.of($0) }
        var contents: [PartContent] = []
        for (index, bytes) in parts.enumerated() {
            var location = PartContent.Location.inline(bytes)
            if asFile ?? (parts.count > 1) {
                let name = "\(bundle).\(index + 1).part"
                try Data(bytes).write(to: URL(filePath: folder + "/parts/" + name))
                location = .file(name: name)
            }
            contents.append(
                PartContent(digest: digests[index], byteCount: bytes.count, location: location))
        }
        return BundleMessage(
            tenant: device.tenantID, tenantSlug: device.tenantSlug, deviceID: device.deviceID,
            bundleID: bundle, epoch: nil, bundleDigest: .ofBundle(parts: digests), parts: contents,
            startedAt: .now, receivedAt: .now, source: nil)
    }

    /// A bundle of one part.
    func sealed(
        _ lines: [String], bundle: BundleID = .random(), header: BundleID? = nil,
        secret: [UInt8]? = nil, asFile: Bool = false
    ) throws -> BundleMessage {
        let form = PartForm(bundle: header, secret: secret)
        return try message(
            [try part(lines, bundle: bundle, form: form)], bundle: bundle, asFile: asFile)
    }

    /// A bundle of many parts; `change` says what is wrong with which part.
    func sealed(
        parts: [[String]], bundle: BundleID = .random(), change: [Int: PartForm] = [:]
    ) throws -> BundleMessage {
        let bytes = try parts.enumerated().map { index, lines in
            try part(
                lines, number: index + 1, of: parts.count, bundle: bundle,
                form: change[index + 1] ?? PartForm())
        }
        return try message(bytes, bundle: bundle)
    }
}

/// A valid line.
func line(_ id: TransactionID = .random(), payload: String = "1") -> String {
    #"{"id":"\#(id)","type":"t","occurred_at":"2026-11-21T02:00:00Z","payload":\#(payload)}"#
}
