internal import WaybillModel
package import WaybillQueue
package import WaybillStore

/// What operators may do with quarantined bundles' bytes.
///
/// Knows files and the queue; the database's side of a decision is the store's.
package struct DeadLetterDesk: Sendable {
    private let queue: any BundleQueue
    private let files: DeadLetterFiles

    package init(queue: any BundleQueue, files: DeadLetterFiles) {
        self.queue = queue
        self.files = files
    }

    /// Puts a quarantined bundle into the queue again; durable on return.
    ///
    /// It comes after all bundles that its device has in the queue. Asking again while it waits
    /// changes nothing. When it succeeds, the settling transaction writes the superseding receipt and
    /// resolves the dead letter; when it fails, the same transaction counts that and says why.
    ///
    /// - Throws: ``ListenerError/deadLetterMissing`` when this node has not all of its files, and
    ///   what the queue throws.
    package func retry(_ letter: StoredDeadLetter) async throws {
        let counts = letter.partByteCounts.isEmpty ? [letter.byteCount] : letter.partByteCounts
        guard files.isThere(letter.fileName, partCount: counts.count) else {
            throw ListenerError.deadLetterMissing
        }
        let parts = counts.enumerated().map { index, byteCount in
            PartContent(
                digest: .zero, byteCount: byteCount,
                location: .deadLetter(
                    name: DeadLetterFiles.partName(letter.fileName, index + 1)))
        }
        let message = BundleMessage(
            tenant: letter.tenant, tenantSlug: letter.tenantSlug, deviceID: letter.deviceID,
            bundleID: letter.bundleID, epoch: letter.epoch, bundleDigest: letter.bundleDigest,
            parts: parts, startedAt: letter.createdAt, receivedAt: .now, source: nil,
            retryOf: BundleMessage.RetryOf(
                deadLetterID: letter.id, receiptSeq: letter.receiptSeq))
        _ = try await queue.enqueue(message)
    }

    /// Unlinks the files; those that are gone already are no error. Blocks.
    ///
    /// - Throws: ``ListenerError/deadLetterUnwritable(errno:)``.
    package func discard(_ letter: StoredDeadLetter) throws {
        try files.remove(letter.fileName, partCount: max(1, letter.partByteCounts.count))
    }

    /// Bytes of all dead letters' files on this node. Blocks for a listing.
    package func bytesKept() -> Int { files.byteCount() }
}
