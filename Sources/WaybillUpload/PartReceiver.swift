internal import WaybillModel
internal import WaybillQueue
internal import WaybillSealing

/// What a part has to be, and where its bytes go.
struct PartDemand: Sendable {
    enum Storage: Sendable {
        /// Up to this many bytes stay in memory, more go to a file.
        case inline(bytesMax: Int)
        case file
        /// Only the digest is wanted: the bytes are here already.
        case none
    }

    var storage: Storage
    var bytesMax: Int
    /// What one byte more is answered with.
    var excess: UploadError
    /// What the sender says of the bytes, and what was declared of them.
    var expected: [ExpectedDigest]
    var limits: ArchiveLimits
}

/// Takes one part's bytes as they come: few of them stay in memory, more go to a file.
///
/// Holds at most the inline bound, or two pieces of 256 KiB, in memory, whatever the part's size.
package final class PartReceiver {
    private static let writtenAtOnce = 256 << 10

    private let directory: PartDirectory
    private let demand: PartDemand
    private var pending: [UInt8] = []
    private var file: PartFileWriter?
    private var writer = PieceWriter<Void>()
    /// Of bytes that are not kept.
    private var running: RunningDigest

    /// Bytes received so far.
    package private(set) var byteCount = 0

    init(directory: PartDirectory, demand: PartDemand) {
        self.directory = directory
        self.demand = demand
        running = RunningDigest(demand.expected.map(\.algorithm))
    }

    /// Makes room for what is announced, as far as it will stay in memory.
    package func expect(byteCount: Int?) {
        guard let byteCount, case .inline(let bytesMax) = demand.storage else { return }
        if byteCount <= bytesMax { pending.reserveCapacity(byteCount) }
    }

    /// Adds bytes at the end; copies them once.
    ///
    /// - Returns: true when there are enough of them for ``write()``, to be called before the next.
    /// - Throws: ``UploadError/tooLarge(bytesMax:)`` or ``UploadError/pastDeclared(byteCount:)``: only
    ///   ``discard()`` is left.
    package func add(_ bytes: UnsafeRawBufferPointer) throws(UploadError) -> Bool {
        byteCount += bytes.count
        guard byteCount <= demand.bytesMax else { throw demand.excess }
        switch demand.storage {
        case .none:
            running.update(bytes)
            return false
        case .inline(let bytesMax) where file == nil && byteCount <= bytesMax:
            pending.append(contentsOf: bytes)
            return false
        case .inline, .file:
            if pending.isEmpty { pending.reserveCapacity(Self.writtenAtOnce + bytes.count) }
            pending.append(contentsOf: bytes)
            // Each piece by itself would cost a change of threads.
            return file == nil || pending.count >= Self.writtenAtOnce
        }
    }

    /// Has what was added written to the file, which goes on while more is added.
    ///
    /// - Throws: ``UploadError/diskFull``, ``UploadError/io(errno:operation:)``, of this or of an earlier
    ///   piece; nothing is kept then.
    package func write() async throws(UploadError) {
        try await orDiscard { () async throws(UploadError) in
            try await flush()
        }
    }

    /// Drops the bytes and removes the file.
    package func discard() async {
        pending = []
        // What became of it does not matter any more.
        _ = try? await writer.end()
        await file?.discard()
        file = nil
    }

    /// True when the bytes are only compared.
    var comparesOnly: Bool {
        if case .none = demand.storage { true } else { false }
    }

    /// Ends a part of which only the digest is wanted.
    ///
    /// - Throws: ``UploadError/digestMismatch(_:)``.
    func finishComparing() throws(UploadError) -> Digest256 {
        try running.finish(expecting: demand.expected)
    }

    /// Ends the part: checks its digests and its structure, which lies in clear.
    ///
    /// - Throws: ``UploadError/digestMismatch(_:)``, ``UploadError/refused(_:)`` and what
    ///   ``append(_:)`` throws; nothing is kept then.
    func finish() async throws(UploadError) -> ReceivedPart {
        try await orDiscard { () async throws(UploadError) -> ReceivedPart in
            if case .inline(let bytesMax) = demand.storage, pending.count <= bytesMax, file == nil {
                return try finishInMemory()
            }
            try await flush()
            _ = try await writer.end()
            if let file {
                let (digest, layout) = try await file.check(
                    expecting: demand.expected, limits: demand.limits)
                return ReceivedPart(
                    digest: digest, byteCount: byteCount,
                    unzippedByteCount: layout.declaredByteCount, storage: .file(file))
            }
            return try finishInMemory()
        }
    }

    private func finishInMemory() throws(UploadError) -> ReceivedPart {
        running.update(pending)
        let digest = try running.finish(expecting: demand.expected)
        let layout = try ArchiveStructure.checkPart(
            MemorySource(pending[...]), limits: demand.limits)
        return ReceivedPart(
            digest: digest, byteCount: byteCount, unzippedByteCount: layout.declaredByteCount,
            storage: .inline(pending))
    }

    private func flush() async throws(UploadError) {
        if file == nil {
            file = try await directory.makeFile(
                hashing: demand.expected.map(\.algorithm))
        }
        guard let file, !pending.isEmpty else { return }
        let piece = pending
        pending = []
        _ = try await writer.begin { () async throws(UploadError) in try await file.write(piece) }
    }

    private func orDiscard<Value>(
        _ body: () async throws(UploadError) -> Value
    ) async throws(UploadError) -> Value {
        do {
            return try await body()
        } catch {
            await discard()
            throw error
        }
    }
}

/// A part whose bytes are complete and well-formed; not yet durable.
struct ReceivedPart {
    enum Storage {
        case inline([UInt8])
        case file(PartFileWriter)
    }

    let digest: Digest256
    let byteCount: Int
    /// As the archive declares it.
    let unzippedByteCount: Int
    let storage: Storage

    /// Syncs a file; bytes in memory become durable in the queue's log.
    func keep() async throws(UploadError) -> PartContent {
        switch storage {
        case .inline(let bytes):
            return PartContent(digest: digest, byteCount: byteCount, location: .inline(bytes))
        case .file(let file):
            try await file.keep()
            return PartContent(
                digest: digest, byteCount: byteCount, location: .file(name: file.name))
        }
    }

    func discard() async {
        if case .file(let file) = storage { await file.discard() }
    }
}
