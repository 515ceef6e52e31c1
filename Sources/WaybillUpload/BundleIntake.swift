package import WaybillModel
package import WaybillQueue
internal import WaybillSealing

/// Brings complete bundles into the queue, each once.
///
/// Whoever decides on a bundle has its turn, so that declarations, parts and bundles of one part
/// under the same id go one after the other.
package struct BundleIntake: Sendable {
    let queue: any BundleQueue
    let directory: PartDirectory
    let open: OpenBundles
    let previous: PreviousBundles
    let uploads: Uploads
    let turns = KeyedTurns<BundleKey>()
    package let options: UploadOptions

    package init(
        queue: any BundleQueue, directory: PartDirectory, open: OpenBundles,
        previous: PreviousBundles, uploads: Uploads, options: UploadOptions
    ) {
        self.queue = queue
        self.directory = directory
        self.open = open
        self.previous = previous
        self.uploads = uploads
        self.options = options
    }

    /// What became of an upload; both are answered as received.
    package enum Outcome: Sendable {
        /// It is durable.
        case received(BundleStanding)
        /// The same bytes were known; nothing was kept of these.
        case known(BundleStanding)

        package var standing: BundleStanding {
            switch self {
            case .received(let standing), .known(let standing): standing
            }
        }
    }

    /// Begins to receive a bundle of one part.
    ///
    /// - Parameters:
    ///   - declaredByteCount: what the sender announced, nil if it did not.
    ///   - expected: digests to check when the part is complete.
    /// - Throws: ``UploadError/tooLarge(bytesMax:)`` before a byte is read.
    package func begin(
        declaredByteCount: Int?, expecting expected: [ExpectedDigest]
    ) throws(UploadError) -> PartReceiver {
        let bytesMax = partBytesMax
        if let declaredByteCount, declaredByteCount > bytesMax {
            throw .tooLarge(bytesMax: bytesMax)
        }
        return PartReceiver(
            directory: directory,
            demand: PartDemand(
                storage: .inline(bytesMax: options.inlineBytesMax), bytesMax: bytesMax,
                excess: .tooLarge(bytesMax: bytesMax), expected: expected,
                limits: archiveLimits(besides: 0)))
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
        let outcome = try await turns.take(bundle.key) {
            () async throws(UploadError) -> Outcome in
            try await complete(part, of: bundle)
        }
        await endUploads(of: bundle.key)
        return outcome
    }

    /// The bundle as this server knows it; nil when it is not here.
    package func find(_ key: BundleKey) -> BundleStanding? {
        let entry = queue.find(key)
        if let entry, entry.state != .lost { return BundleStanding(entry) }
        return open.find(key).map { standing(of: $0) } ?? entry.map { BundleStanding($0) }
    }

    /// An unfinished bundle, with what its uploads have come to.
    func standing(of opened: OpenBundle) -> BundleStanding {
        var standing = opened.standing
        for index in standing.parts.indices where !standing.parts[index].isComplete {
            guard let upload = uploads.current(opened.key, part: index + 1) else { continue }
            standing.parts[index].upload = upload.id
            standing.parts[index].receivedByteCount = upload.mark.offset
            if standing.parts[index].byteCount == nil {
                standing.parts[index].byteCount = upload.mark.byteCount
            }
        }
        return standing
    }

    private func complete(
        _ part: ReceivedPart, of bundle: IncomingBundle
    ) async throws(UploadError) -> Outcome {
        let digest = Digest256.ofBundle(parts: [part.digest])
        let opened = open.find(bundle.key)
        if let opened, !opened.mayBe(part.digest) {
            await part.discard()
            throw .conflict
        }
        if let known = await knownBundle(bundle.key) {
            guard known.bundleDigest == digest else {
                await part.discard()
                throw .conflict
            }
            guard known.isDone, known.receipt == nil else {
                await part.discard()
                if opened != nil { await open.finish(bundle.key) }
                return .known(known)
            }
            // The database, which has the receipt, is away: taken once more, resolved at settling.
            queue.forget(bundle.key)
        }
        if let opened, opened.isComplete {
            await part.discard()
            return .received(try await handOver(opened))
        }
        let content = try await keep(part)
        let message = BundleMessage(
            tenant: bundle.tenant, tenantSlug: bundle.tenantSlug, deviceID: bundle.deviceID,
            bundleID: bundle.bundleID, epoch: bundle.epoch ?? opened?.declaration.epoch,
            bundleDigest: digest, parts: [content],
            startedAt: opened?.declaration.declaredAt ?? bundle.startedAt, receivedAt: .now,
            source: bundle.source)
        let result = try await enqueue(message, part)
        if opened != nil { await open.finish(bundle.key) }
        switch result {
        case .enqueued:
            return .received(
                BundleStanding(
                    state: .queued, bundleDigest: digest, partByteCounts: [part.byteCount],
                    receipt: nil))
        case .existing(let entry):
            await part.discard()
            guard entry.bundleDigest == digest else { throw .conflict }
            return .known(await confirmed(entry, of: bundle.key) ?? BundleStanding(entry))
        }
    }

    /// A complete bundle, from the queue or from its receipt; nil when neither knows it, or only
    /// the database could say and is away.
    func knownBundle(_ key: BundleKey) async -> BundleStanding? {
        if let entry = queue.find(key), entry.state != .lost {
            return await confirmed(entry, of: key)
        }
        guard previous.mayHold(key), case .settled(let standing) = await previous.find(key) else {
            return nil
        }
        return standing
    }

    /// What the queue knows, with the receipt from the database, without it when that does not
    /// answer; nil when there is none: the database was restored from before, and the bundle is to
    /// be taken again.
    func confirmed(_ entry: BundleEntry, of key: BundleKey) async -> BundleStanding? {
        let known = BundleStanding(entry)
        guard known.isDone else { return known }
        switch await previous.find(key) {
        case .settled(let standing): return standing
        case .unknown: return known
        case .never:
            forget(key)
            return nil
        }
    }

    /// To be called when the database has no receipt of a bundle that is settled here.
    package func forget(_ key: BundleKey) {
        queue.forget(key)
    }

    func keep(_ part: ReceivedPart) async throws(UploadError) -> PartContent {
        do {
            return try await part.keep()
        } catch {
            await part.discard()
            throw error
        }
    }

    /// What one part may declare in a bundle whose other parts declare `unzippedByteCount`.
    func archiveLimits(besides unzippedByteCount: Int) -> ArchiveLimits {
        let limits = options.limits
        return ArchiveLimits(
            partUnzippedBytesMax: min(
                limits.partUnzippedBytesMax,
                max(0, limits.bundleUnzippedBytesMax - unzippedByteCount)),
            ratioMax: limits.partRatioMax)
    }

    private func enqueue(
        _ message: BundleMessage, _ part: ReceivedPart
    ) async throws(UploadError) -> EnqueueResult {
        do {
            return try await queue.enqueue(message)
        } catch {
            // After a failed write or sync the record may be on disk all the same: its file must
            // stay until the next start has read the log.
            if case .unhealthy = error { throw .queue(error) }
            await part.discard()
            throw .queue(error)
        }
    }
}
