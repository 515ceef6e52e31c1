package import WaybillModel
internal import WaybillQueue
internal import WaybillSealing

/// Bundles that are declared first and whose parts come one by one, in any order.
extension BundleIntake {
    /// What became of a declaration.
    package enum Declared: Sendable {
        /// It is new, and durable.
        case created(BundleStanding)
        /// The same was declared or received before.
        case known(BundleStanding)
    }

    /// Takes a declaration; returns after the sync.
    ///
    /// - Throws: ``UploadError/tooManyParts(max:)``, ``UploadError/tooLarge(bytesMax:)``,
    ///   ``UploadError/bundleTooLarge(bytesMax:)``, ``UploadError/conflict``,
    ///   ``UploadError/tooManyOpen(_:)``, and what the disk or, for a bundle that only waits for
    ///   the queue, the queue throws.
    package func declare(_ declaration: BundleDeclaration) async throws(UploadError) -> Declared {
        try check(declaration)
        return try await turns.take(declaration.key) { () async throws(UploadError) -> Declared in
            if let opened = open.find(declaration.key) {
                guard opened.declaration.isSame(as: declaration) else { throw .conflict }
                return .known(
                    opened.isComplete ? try await handOver(opened) : standing(of: opened))
            }
            if let known = await knownBundle(declaration.key) {
                guard known.bundleDigest == declaration.bundleDigest,
                    known.parts.map(\.byteCount) == declaration.parts.map(\.byteCount)
                else { throw .conflict }
                return .known(known)
            }
            return .created(
                try await open.declare(
                    declaration, limits: options.limits,
                    besides: charge(of: declaration.deviceID).byteCount
                ).standing)
        }
    }

    /// Begins to receive a whole part of a declared bundle.
    ///
    /// Bytes of a part that is complete are compared and not kept.
    ///
    /// - Parameters:
    ///   - announced: what the sender says of the number of bytes, nil if it does not.
    ///   - expected: digests to check when the part is complete, besides the declared one.
    /// - Throws: before a byte is read, ``UploadError/notDeclared(partCount:)``,
    ///   ``UploadError/pastDeclared(byteCount:)``, ``UploadError/shortOfDeclared(byteCount:)``,
    ///   ``UploadError/conflict``, ``UploadError/historyUnavailable``.
    package func beginPart(
        _ number: Int, of key: BundleKey, announced: Int?, expecting expected: [ExpectedDigest]
    ) async throws(UploadError) -> PartReceiver {
        guard let opened = open.find(key) else {
            let known = try await handedOver(key)
            guard known.parts.indices.contains(number - 1) else {
                throw .notDeclared(partCount: known.parts.count)
            }
            let byteCount = known.parts[number - 1].receivedByteCount
            return try comparing(with: byteCount, announced: announced, expecting: expected)
        }
        guard let declared = opened.declared(number) else {
            throw .notDeclared(partCount: opened.declaration.parts.count)
        }
        if let completed = opened.completed(number) {
            return try comparing(
                with: completed.byteCount, announced: announced, expecting: expected)
        }
        if let announced, let byteCount = declared.byteCount, announced != byteCount {
            throw announced > byteCount
                ? .pastDeclared(byteCount: byteCount) : .shortOfDeclared(byteCount: byteCount)
        }
        let bytesMax = options.limits.partBytesMax
        if let announced, announced > bytesMax { throw .tooLarge(bytesMax: bytesMax) }
        let told = declared.digest.map { ExpectedDigest(algorithm: .sha256, bytes: $0.bytes) }
        return PartReceiver(
            directory: directory,
            demand: PartDemand(
                storage: .file, bytesMax: declared.byteCount ?? bytesMax,
                excess: declared.byteCount.map { .pastDeclared(byteCount: $0) }
                    ?? .tooLarge(bytesMax: bytesMax),
                expected: expected + (told.map { [$0] } ?? []),
                limits: archiveLimits(besides: opened.unzippedByteCount)))
    }

    /// Checks a part and makes it durable; with the last one the bundle is in the queue.
    ///
    /// - Throws: what the part's check throws, ``UploadError/conflict`` for other bytes than those
    ///   of a complete part, ``UploadError/notDeclared(partCount:)`` when the bundle was given up
    ///   meanwhile; nothing is kept of the part then. What the queue throws at the last part leaves
    ///   the part in place: sending it again tries again.
    package func completePart(
        _ receiver: PartReceiver, _ number: Int, of key: BundleKey
    ) async throws(UploadError) -> Outcome {
        if receiver.comparesOnly {
            let digest = try receiver.finishComparing()
            let byteCount = receiver.byteCount
            return try await turns.take(key) { () async throws(UploadError) -> Outcome in
                try await compare(digest, byteCount, with: number, of: key)
            }
        }
        let part = try await receiver.finish()
        let content = try await keep(part)
        let outcome = try await turns.take(key) { () async throws(UploadError) -> Outcome in
            let opened: OpenBundle
            do throws(UploadError) {
                guard
                    let bundle = try await add(
                        content, unzippedByteCount: part.unzippedByteCount, number, to: key)
                else {
                    await part.discard()
                    return try await compare(part.digest, part.byteCount, with: number, of: key)
                }
                opened = bundle
            } catch {
                await part.discard()
                throw error
            }
            guard opened.isComplete else { return .received(standing(of: opened)) }
            return .received(try await handOver(opened))
        }
        await endUploads(of: key, part: number)
        return outcome
    }

    /// Forgets an unfinished bundle; returns after the sync.
    ///
    /// - Returns: false when the bundle is not unfinished.
    /// - Throws: ``UploadError/alreadyComplete``, ``UploadError/io(errno:operation:)``.
    package func giveUp(_ key: BundleKey) async throws(UploadError) -> Bool {
        let isGivenUp = try await turns.take(key) { () async throws(UploadError) -> Bool in
            guard let opened = open.find(key) else { return false }
            guard !opened.isComplete else { throw .alreadyComplete }
            await forgetComplete(of: key)
            try await open.giveUp(key)
            await directory.remove(opened.fileNames)
            return true
        }
        if isGivenUp { await endUploads(of: key) }
        return isGivenUp
    }

    /// A device's unfinished bundles, the oldest first.
    package func unfinished(of device: DeviceID) -> [(id: BundleID, standing: BundleStanding)] {
        open.list(of: device).map { ($0.key.bundleID, standing(of: $0)) }
    }

    /// A bundle that was not finished in time, while that is remembered.
    package func expired(_ key: BundleKey) async -> BundleStanding? {
        guard let done = await open.done(key), done.expiredAt != nil else { return nil }
        var standing = OpenBundle(done.bundle.declaration).standing
        standing.state = .expired
        return standing
    }

    /// Puts a bundle whose parts are all here into the queue; returns after the sync.
    func handOver(_ opened: OpenBundle) async throws(UploadError) -> BundleStanding {
        guard let message = opened.message(receivedAt: .now) else { return opened.standing }
        let result: EnqueueResult
        do {
            result = try await queue.enqueue(message)
        } catch {
            // The bundle stays: the same part again, the upkeep or the next start tries again.
            throw .queue(error)
        }
        await open.finish(opened.key)
        switch result {
        case .enqueued:
            return BundleStanding(
                state: .queued, bundleDigest: message.bundleDigest,
                partByteCounts: message.parts.map(\.byteCount), receipt: nil)
        case .existing(let entry):
            // Whose files its record names is not known here: ours are left to the next sweep.
            guard entry.bundleDigest == message.bundleDigest else { throw .conflict }
            return await confirmed(entry, of: opened.key) ?? BundleStanding(entry)
        }
    }

    // MARK: Inside

    private func check(_ declaration: BundleDeclaration) throws(UploadError) {
        let limits = options.limits
        guard declaration.parts.count <= limits.bundlePartsMax else {
            throw .tooManyParts(max: limits.bundlePartsMax)
        }
        guard declaration.parts.allSatisfy({ $0.byteCount ?? 0 <= limits.partBytesMax }) else {
            throw .tooLarge(bytesMax: limits.partBytesMax)
        }
        guard declaration.byteCount <= limits.bundleBytesMax else {
            throw .bundleTooLarge(bytesMax: limits.bundleBytesMax)
        }
    }

    private func comparing(
        with byteCount: Int, announced: Int?, expecting expected: [ExpectedDigest]
    ) throws(UploadError) -> PartReceiver {
        guard announced ?? byteCount == byteCount else { throw .conflict }
        return PartReceiver(
            directory: directory,
            demand: PartDemand(
                storage: .none, bytesMax: byteCount, excess: .conflict, expected: expected,
                limits: archiveLimits(besides: 0)))
    }

    /// A bundle that is not unfinished, as the queue or the database know it.
    func handedOver(_ key: BundleKey) async throws(UploadError) -> BundleStanding {
        if let entry = queue.find(key), entry.state != .lost {
            guard let standing = await confirmed(entry, of: key) else {
                throw .notDeclared(partCount: nil)
            }
            return standing
        }
        switch await previous.find(key) {
        case .settled(let standing): return standing
        case .never: throw .notDeclared(partCount: nil)
        case .unknown: throw .historyUnavailable
        }
    }

    /// Compares a whole part with the one that is here already.
    func compare(
        _ digest: Digest256, _ byteCount: Int, with number: Int, of key: BundleKey
    ) async throws(UploadError) -> Outcome {
        if let opened = open.find(key) {
            guard let completed = opened.completed(number) else {
                // Given up and declared anew while the bytes came.
                throw .notDeclared(partCount: nil)
            }
            guard completed.digest == digest else { throw .conflict }
            return .known(opened.isComplete ? try await handOver(opened) : standing(of: opened))
        }
        let known = try await handedOver(key)
        guard known.parts.indices.contains(number - 1) else {
            throw .notDeclared(partCount: known.parts.count)
        }
        guard known.parts[number - 1].byteCount == byteCount else { throw .conflict }
        if known.parts.count == 1 {
            guard known.bundleDigest == .ofBundle(parts: [digest]) else { throw .conflict }
        } else if let declaration = await open.done(key)?.bundle.declaration,
            declaration.bundleDigest == known.bundleDigest
        {
            guard declaration.parts[number - 1].digest == digest else { throw .conflict }
        }
        return .known(known)
    }

    /// Adds a synced part to its bundle.
    ///
    /// - Returns: nil when it is there already, or the bundle is not unfinished any more.
    func add(
        _ content: PartContent, unzippedByteCount: Int, _ number: Int, to key: BundleKey
    ) async throws(UploadError) -> OpenBundle? {
        guard let opened = open.find(key), opened.completed(number) == nil else { return nil }
        guard let declared = opened.declared(number),
            declared.digest ?? content.digest == content.digest,
            declared.byteCount ?? content.byteCount == content.byteCount
        else { throw .conflict }
        let (sum, overflow) = opened.unzippedByteCount.addingReportingOverflow(unzippedByteCount)
        guard !overflow, sum <= options.limits.bundleUnzippedBytesMax else {
            throw .refused(
                ArchiveRefusal(.limit, "a bundle's declared sizes are within the limit", at: 0))
        }
        guard case .file(let name) = content.location else { return nil }
        return try await open.add(
            CompletedPart(
                number: number, fileName: name, byteCount: content.byteCount,
                digest: content.digest, unzippedByteCount: unzippedByteCount, completedAt: .now),
            to: opened, limits: options.limits)
    }
}
