package import WaybillModel
package import WaybillQueue

/// Brings complete bundles into the queue, each once.
package struct BundleIntake: Sendable {
    private let queue: any BundleQueue
    private let directory: PartDirectory
    private let previous: PreviousBundles
    package let options: UploadOptions

    package init(
        queue: any BundleQueue, directory: PartDirectory, previous: PreviousBundles,
        options: UploadOptions
    ) {
        self.queue = queue
        self.directory = directory
        self.previous = previous
        self.options = options
    }

    /// What became of an upload; both are answered as received.
    package enum Outcome: Sendable {
        /// It is in the queue and durable.
        case received(BundleStanding)
        /// The same bytes were known; nothing was kept of these.
        case known(BundleStanding)
    }

    /// Begins to receive a part.
    ///
    /// - Parameters:
    ///   - declaredByteCount: what the sender announced, nil if it did not.
    ///   - expected: digests to check when the part is complete.
    /// - Throws: ``UploadError/tooLarge(bytesMax:)`` before a byte is read.
    package func begin(
        declaredByteCount: Int?, expecting expected: [ExpectedDigest]
    ) throws(UploadError) -> PartReceiver {
        if let declaredByteCount, declaredByteCount > options.limits.partBytesMax {
            throw .tooLarge(bytesMax: options.limits.partBytesMax)
        }
        return PartReceiver(directory: directory, options: options, expected: expected)
    }

    /// Checks the part and puts its bundle into the queue; returns after the sync.
    ///
    /// Known bundles are looked for in the queue, then in the database, and once more by the queue
    /// itself: one that is settled in between stays in the queue's index long enough.
    ///
    /// - Throws: ``UploadError/conflict`` when other bytes are known under the id, and what the
    ///   part's check or the queue throw. Nothing is kept then.
    package func complete(
        _ receiver: PartReceiver, of bundle: IncomingBundle
    ) async throws(UploadError) -> Outcome {
        let part = try await receiver.finish()
        let digest = Digest256.ofBundle(parts: [part.digest])
        if let known = try await knownBundle(bundle.key, digest: digest, part: part) {
            return .known(known)
        }
        let content = try await keep(part)
        let message = BundleMessage(
            tenant: bundle.tenant, tenantSlug: bundle.tenantSlug, deviceID: bundle.deviceID,
            bundleID: bundle.bundleID, epoch: bundle.epoch, bundleDigest: digest,
            parts: [content], startedAt: bundle.startedAt, receivedAt: .now, source: bundle.source)
        switch try await enqueue(message, part) {
        case .enqueued:
            return .received(
                BundleStanding(
                    state: .queued, bundleDigest: digest, partByteCounts: [part.byteCount],
                    receipt: nil))
        case .existing(let entry):
            await part.discard()
            guard entry.bundleDigest == digest else { throw .conflict }
            return .known(await withReceipt(entry, of: bundle.key))
        }
    }

    /// The bundle as the queue knows it; nil when it is not on this node.
    package func find(_ key: BundleKey) -> BundleStanding? {
        queue.find(key).map { BundleStanding($0) }
    }

    private func knownBundle(
        _ key: BundleKey, digest: Digest256, part: ReceivedPart
    ) async throws(UploadError) -> BundleStanding? {
        let known: BundleStanding
        if let entry = queue.find(key) {
            known = await withReceipt(entry, of: key)
        } else if case .settled(let standing) = await previous.find(key) {
            known = standing
        } else {
            return nil
        }
        await part.discard()
        guard known.bundleDigest == digest else { throw .conflict }
        return known
    }

    /// A settled bundle's receipt lies in the database; it is left out when that does not answer.
    private func withReceipt(_ entry: BundleEntry, of key: BundleKey) async -> BundleStanding {
        guard entry.state == .settled || entry.state == .quarantined,
            case .settled(let standing) = await previous.find(key)
        else { return BundleStanding(entry) }
        return standing
    }

    private func keep(_ part: ReceivedPart) async throws(UploadError) -> PartContent {
        do {
            return try await part.keep()
        } catch {
            await part.discard()
            throw error
        }
    }

    private func enqueue(
        _ message: BundleMessage, _ part: ReceivedPart
    ) async throws(UploadError) -> EnqueueResult {
        do {
            return try await queue.enqueue(message)
        } catch {
            // After a failed sync the record may be on disk all the same: its file must stay until
            // the next start has read the log.
            switch error {
            case .unhealthy, .io: break
            default: await part.discard()
            }
            throw .queue(error)
        }
    }
}
