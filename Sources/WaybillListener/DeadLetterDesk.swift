internal import WaybillModel
package import WaybillQueue
package import WaybillStore

/// Has quarantined bundles processed again, when an operator wants it.
///
/// Knows files and the queue; the database's side of a decision is the store's.
package struct DeadLetterDesk: Sendable {
    private let queue: any BundleQueue
    private let files: DeadLetterFiles

    /// - Parameter files: of this node.
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
        guard files.holds(letter) else {
            throw ListenerError.deadLetterMissing
        }
        let parts = zip(counts, letter.partFileNames).map { byteCount, name in
            PartContent(digest: .zero, byteCount: byteCount, location: .deadLetter(name: name))
        }
        let message = BundleMessage(
            tenant: letter.tenant, tenantSlug: letter.tenantSlug, deviceID: letter.deviceID,
            bundleID: letter.bundleID, epoch: letter.epoch, bundleDigest: letter.bundleDigest,
            parts: parts, startedAt: letter.createdAt, receivedAt: .now, source: nil,
            retryOf: BundleMessage.RetryOf(
                deadLetterID: letter.id, receiptSeq: letter.receiptSeq))
        _ = try await queue.enqueue(message)
    }
}
