internal import WaybillModel
internal import WaybillQueue
internal import WaybillSealing

/// Takes one part's bytes as they come: few of them stay in memory, more go to a file.
///
/// Holds at most the inline bound and one piece in memory, whatever the part's size.
package final class PartReceiver {
    private let directory: PartDirectory
    private let options: UploadOptions
    private let expected: [ExpectedDigest]
    private var pending: [UInt8] = []
    private var file: PartFileWriter?

    /// Bytes received so far.
    package private(set) var byteCount = 0

    init(directory: PartDirectory, options: UploadOptions, expected: [ExpectedDigest]) {
        self.directory = directory
        self.options = options
        self.expected = expected
    }

    /// Adds bytes at the end.
    ///
    /// - Throws: ``UploadError/tooLarge(bytesMax:)``, ``UploadError/diskFull``,
    ///   ``UploadError/io(errno:operation:)``; nothing is kept then.
    package func append(_ bytes: [UInt8]) async throws(UploadError) {
        byteCount += bytes.count
        guard byteCount <= options.limits.partBytesMax else {
            await discard()
            throw .tooLarge(bytesMax: options.limits.partBytesMax)
        }
        if pending.isEmpty { pending = bytes } else { pending += bytes }
        guard pending.count > options.inlineBytesMax else { return }
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

    /// Ends the part: checks its digests and its structure, which lies in clear.
    ///
    /// - Throws: ``UploadError/digestMismatch(_:)``, ``UploadError/refused(_:)`` and what
    ///   ``append(_:)`` throws; nothing is kept then.
    func finish() async throws(UploadError) -> ReceivedPart {
        try await orDiscard { () async throws(UploadError) -> ReceivedPart in
            let limits = ArchiveLimits(
                partUnzippedBytesMax: options.limits.partUnzippedBytesMax,
                ratioMax: options.limits.partRatioMax)
            if let file {
                try await flush()
                let digest = try await file.check(expecting: expected, limits: limits)
                return ReceivedPart(digest: digest, byteCount: byteCount, storage: .file(file))
            }
            var running = RunningDigest(wantsSHA512: wantsSHA512)
            running.update(pending)
            let digest = try running.finish(expecting: expected)
            try ArchiveStructure.checkPart(MemorySource(pending[...]), limits: limits)
            return ReceivedPart(digest: digest, byteCount: byteCount, storage: .inline(pending))
        }
    }

    private var wantsSHA512: Bool { expected.contains { $0.algorithm == .sha512 } }

    private func flush() async throws(UploadError) {
        if file == nil { file = try await directory.makeFile(wantsSHA512: wantsSHA512) }
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
