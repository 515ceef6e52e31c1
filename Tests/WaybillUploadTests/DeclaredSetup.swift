import Testing
import WaybillModel
import WaybillQueue
import WaybillUpload

/// An intake of declared bundles in directories of its own, for one device.
struct DeclaredSetup: Sendable {
    let parts: ScratchDirectory
    let bundles: ScratchDirectory
    let queue: MemoryQueue
    let history = MemoryHistory()
    let previous: PreviousBundles
    let open: OpenBundles
    let intake: BundleIntake
    let device: DeviceID

    init(_ options: UploadOptions = UploadOptions()) throws {
        try self.init(
            parts: try ScratchDirectory(), bundles: try ScratchDirectory(), queue: MemoryQueue(),
            device: .random(), options)
    }

    private init(
        parts: ScratchDirectory, bundles: ScratchDirectory, queue: MemoryQueue, device: DeviceID,
        _ options: UploadOptions
    ) throws {
        self.parts = parts
        self.bundles = bundles
        self.queue = queue
        self.device = device
        previous = PreviousBundles(source: history)
        open = try OpenBundles(path: bundles.path, partsPath: parts.path) { key in
            queue.find(key).map { $0.state != .lost } ?? false
        }
        let live = queue.messages.flatMap { $0.parts.compactMap(\.fileName) }
        let uploads = try Uploads(
            path: bundles.path + "/uploads", partsPath: parts.path,
            owned: open.fileNames.union(live))
        intake = BundleIntake(
            queue: queue,
            directory: try PartDirectory(
                path: parts.path,
                keeping: open.fileNames.union(live).union(uploads.fileNames)),
            open: open, previous: previous, uploads: uploads, options: options)
    }

    /// What a restart finds on the same disk.
    func restarted(queue: MemoryQueue? = nil) throws -> DeclaredSetup {
        try DeclaredSetup(
            parts: parts, bundles: bundles, queue: queue ?? self.queue, device: device,
            intake.options)
    }

    func key(_ id: BundleID) -> BundleKey { BundleKey(deviceID: device, bundleID: id) }

    /// A declaration of parts with these bytes.
    func declaration(
        _ id: BundleID, _ parts: [[UInt8]], at time: Timestamp = .now
    ) throws -> BundleDeclaration {
        BundleDeclaration(
            tenant: TenantID(1), tenantSlug: try #require(TenantSlug("acme")), deviceID: device,
            bundleID: id, epoch: 3,
            parts: parts.map { DeclaredPart(byteCount: $0.count, digest: .of($0)) },
            declaredAt: time, source: "127.0.0.1")
    }

    @discardableResult
    func declare(_ id: BundleID, _ parts: [[UInt8]]) async throws -> BundleIntake.Declared {
        try await intake.declare(try declaration(id, parts))
    }

    /// Sends one whole part in pieces.
    @discardableResult
    func put(
        _ bytes: [UInt8], _ number: Int, of id: BundleID, announced: Int? = nil,
        expecting: [ExpectedDigest] = []
    ) async throws -> BundleIntake.Outcome {
        let receiver = try await intake.beginPart(
            number, of: key(id), announced: announced, expecting: expecting)
        for start in stride(from: 0, to: bytes.count, by: 1000) {
            try await receiver.append(Array(bytes[start..<min(bytes.count, start + 1000)]))
        }
        return try await intake.completePart(receiver, number, of: key(id))
    }

    /// Sends a bundle of one part in one request.
    @discardableResult
    func post(_ bytes: [UInt8], _ id: BundleID) async throws -> BundleIntake.Outcome {
        let receiver = try intake.begin(declaredByteCount: bytes.count, expecting: [])
        try await receiver.append(bytes)
        return try await intake.complete(receiver, of: try incoming(id, device: device))
    }

    /// Puts the bundle into a state as far as the queue knows it.
    func note(_ state: BundleState, _ id: BundleID, _ parts: [[UInt8]]) {
        queue.note(
            key(id),
            BundleEntry(
                state: state, bundleDigest: .ofBundle(parts: parts.map { .of($0) }),
                partByteCounts: parts.map(\.count), receivedAt: .now))
    }

    /// Runs `body` while the history answers.
    func running(_ body: @Sendable () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await previous.run() }
            while !previous.isRunning { try await Task.sleep(for: .milliseconds(1)) }
            try await body()
            group.cancelAll()
        }
    }
}

extension PartContent {
    var fileName: String? {
        if case .file(let name) = location { name } else { nil }
    }
}

extension BundleIntake.Outcome {
    var isNew: Bool {
        if case .received = self { true } else { false }
    }
}

extension BundleIntake.Declared {
    var isNew: Bool {
        if case .created = self { true } else { false }
    }

    var standing: BundleStanding {
        switch self {
        case .created(let standing), .known(let standing): standing
        }
    }
}

/// The short description of what `body` throws; nil if it throws nothing.
func failure(_ body: () async throws -> Void) async throws -> String? {
    do {
        try await body()
        return nil
    } catch let error as UploadError {
        return error.shortDescription
    }
}

extension PartReceiver {
    /// Adds bytes as a request's body does.
    func append(_ bytes: [UInt8]) async throws {
        do {
            guard try bytes.withUnsafeBytes({ try add($0) }) else { return }
        } catch {
            await discard()
            throw error
        }
        try await write()
    }
}

extension UploadAppend {
    /// Likewise; the offset that may be told.
    func write(_ bytes: [UInt8]) async throws -> Int? {
        try bytes.withUnsafeBytes { try add($0) } ? try await write() : nil
    }
}
