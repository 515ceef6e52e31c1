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
/// Holds at most the inline bound, or 256 KiB, and one piece in memory, whatever the part's size.
package final class PartReceiver {
    private static let writtenAtOnce = 256 << 10

    private let directory: PartDirectory
    private let demand: PartDemand
    private var pending: [UInt8] = []
    private var file: PartFileWriter?
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

    /// Adds bytes at the end as long as all of them stay in memory; copies them once.
    ///
    /// - Returns: false when nothing was done, for ``append(_:)`` to do it.
    package func keepInMemory(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard case .inline(let bytesMax) = demand.storage, file == nil,
            byteCount + bytes.count <= min(bytesMax, demand.bytesMax)
        else { return false }
        pending.append(contentsOf: bytes)
        byteCount += bytes.count
        return true
    }

    /// Adds bytes at the end.
    ///
    /// - Throws: ``UploadError/tooLarge(bytesMax:)`` or ``UploadError/pastDeclared(byteCount:)``,
    ///   ``UploadError/diskFull``, ``UploadError/io(errno:operation:)``; nothing is kept then.
    package func append(_ bytes: [UInt8]) async throws(UploadError) {
        byteCount += bytes.count
        guard byteCount <= demand.bytesMax else {
            await discard()
            throw demand.excess
        }
        if case .none = demand.storage { return running.update(bytes) }
        if pending.isEmpty { pending = bytes } else { pending += bytes }
        if case .inline(let bytesMax) = demand.storage, pending.count <= bytesMax { return }
        // Each piece by itself would cost a change of threads.
        guard file == nil || pending.count >= Self.writtenAtOnce else { return }
        try await orDiscard { () async throws(UploadError) in
            try await flush()
        }
    }

    /// Drops the bytes and removes the file.
    package func discard() async {
        pending = []
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
        guard !pending.isEmpty else { return }
        let piece = pending
        pending = []
        try await file?.write(piece)
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
