internal import Logging
internal import Metrics
package import WaybillModel
internal import WaybillQueue
internal import WaybillSealing

/// An upload as it stands now.
package struct UploadStanding: Sendable {
    package let id: UploadID
    package let plan: UploadPlan
    package let mark: UploadMark

    /// All its bytes are here.
    package var isComplete: Bool { mark.phase != .receiving }
}

/// Parts whose bytes come in several requests, with pauses between them.
extension BundleIntake {
    /// Pieces to be concatenated that a device may have at a time.
    static let piecesMax = 256
    /// Uploads of a device that were ended and are remembered as such.
    static let endedMax = 64

    // MARK: Beginning

    /// Begins an upload, and declares its bundle where the plan says of how many parts; durable on
    /// return. An older upload of the same part goes on until the first byte of this one.
    ///
    /// - Parameters:
    ///   - byteCount: how many bytes there will be; nil while that is not known.
    ///   - isCharged: false for bytes that count already.
    /// - Throws: ``UploadError/tooLarge(bytesMax:)``, ``UploadError/conflict`` for another number of
    ///   parts or bytes than declared, ``UploadError/notDeclared(partCount:)``,
    ///   ``UploadError/tooManyOpen(_:)``, ``UploadError/historyUnavailable``, and what the disk throws.
    package func beginUpload(
        _ plan: UploadPlan, byteCount: Int?, isCharged: Bool = true
    ) async throws(UploadError) -> UploadStanding {
        let bytesMax = partBytesMax
        let charged = isCharged ? byteCount ?? 0 : 0
        if let byteCount, byteCount > bytesMax { throw .tooLarge(bytesMax: bytesMax) }
        guard let target = plan.target, let key = plan.bundleKey else {
            if charge(of: plan.deviceID).pieceCount >= Self.piecesMax {
                guard let idle = uploads.oldestEmptyPiece(of: plan.deviceID) else {
                    throw .tooManyOpen(.pieces(max: Self.piecesMax))
                }
                await end(idle)
            }
            try checkRoom(for: plan, adding: charged)
            return try await create(plan, byteCount)
        }
        let made = try await turns.take(key) { () async throws(UploadError) -> UploadStanding in
            let declared = open.find(key)?.declared(target.part)?.byteCount
            try checkRoom(for: plan, adding: declared == nil ? charged : 0)
            let isNew = try await declare(target, plan, byteCount)
            do throws(UploadError) {
                return try await create(plan, byteCount)
            } catch {
                // Where even that cannot be written the bundle expires.
                if isNew { try? await open.giveUp(key) }
                throw error
            }
        }
        // Of those without a byte the last two are enough: the newest, and one that its device may be
        // about to begin with.
        let empty = uploads.all(key, part: target.part)
            .filter { $0.mark.phase == .receiving && $0.mark.offset == 0 }
        for other in empty.dropLast(2) { await end(other.id) }
        return made
    }

    private func create(
        _ plan: UploadPlan, _ byteCount: Int?
    ) async throws(UploadError) -> UploadStanding {
        let id = try await uploads.create(plan, byteCount: byteCount)
        let mark = uploads.find(id, of: plan.deviceID)?.mark
        return UploadStanding(
            id: id, plan: plan, mark: mark ?? UploadMark(time: plan.createdAt, byteCount: byteCount)
        )
    }

    var partBytesMax: Int { min(options.limits.partBytesMax, options.limits.bundleBytesMax) }

    /// Finds the part in its bundle; a bundle that nobody knows is declared, sizes unknown.
    ///
    /// - Returns: true for one that was declared.
    private func declare(
        _ target: UploadTarget, _ plan: UploadPlan, _ byteCount: Int?
    ) async throws(UploadError) -> Bool {
        let key = BundleKey(deviceID: plan.deviceID, bundleID: target.bundleID)
        if let opened = open.find(key) {
            guard
                target.partCount ?? opened.declaration.parts.count == opened.declaration.parts.count
            else { throw .conflict }
            guard let declared = opened.declared(target.part) else {
                throw .notDeclared(partCount: opened.declaration.parts.count)
            }
            let known = opened.completed(target.part)?.byteCount ?? declared.byteCount
            if let byteCount, let known, byteCount != known {
                throw byteCount > known
                    ? .pastDeclared(byteCount: known) : .shortOfDeclared(byteCount: known)
            }
            return false
        }
        guard let partCount = target.partCount else {
            try check(target, byteCount, in: try await handedOver(key))
            return false
        }
        if let known = await knownBundle(key) {
            guard known.parts.count == partCount else { throw .conflict }
            try check(target, byteCount, in: known)
            return false
        }
        guard (1...partCount).contains(target.part) else {
            throw .notDeclared(partCount: partCount)
        }
        guard partCount <= options.limits.bundlePartsMax else {
            throw .tooManyParts(max: options.limits.bundlePartsMax)
        }
        _ = try await open.declare(
            BundleDeclaration(
                tenant: plan.tenant, tenantSlug: plan.tenantSlug, deviceID: plan.deviceID,
                bundleID: target.bundleID, epoch: target.epoch,
                parts: Array(
                    repeating: DeclaredPart(byteCount: nil, digest: nil), count: partCount),
                declaredAt: plan.createdAt, source: plan.source),
            limits: options.limits, besides: charge(of: plan.deviceID).byteCount)
        return true
    }

    /// A part of a bundle that is complete: its bytes are only compared.
    private func check(
        _ target: UploadTarget, _ byteCount: Int?, in known: BundleStanding
    ) throws(UploadError) {
        guard known.parts.indices.contains(target.part - 1) else {
            throw .notDeclared(partCount: known.parts.count)
        }
        let there = known.parts[target.part - 1].byteCount
        guard byteCount ?? there == there else { throw .conflict }
    }

    // MARK: Room

    /// What a device's uploads count, as far as no declared size counts for them.
    func charge(of device: DeviceID) -> (byteCount: Int, pieceCount: Int) {
        uploads.charge(of: device) { plan in
            guard let key = plan.bundleKey, let part = plan.target?.part else { return true }
            return open.find(key)?.declared(part)?.byteCount == nil
        }
    }

    /// - Throws: ``UploadError/tooManyOpen(_:)`` when the device has as many bytes unfinished as it may.
    func checkRoom(for plan: UploadPlan, adding byteCount: Int) throws(UploadError) {
        let bytesMax = options.limits.openBytesMax
        let charged = open.charge(of: plan.deviceID) + charge(of: plan.deviceID).byteCount
        guard charged + byteCount <= bytesMax else {
            throw .tooManyOpen(.bytes(max: bytesMax))
        }
    }

    // MARK: Looking

    /// Where an upload stands. Whoever is at it is cut off: what is told now stays true.
    ///
    /// - Throws: ``UploadError/uploadUnknown``, ``UploadError/uploadGone``, and what the disk throws.
    package func upload(
        _ id: UploadID, of device: DeviceID
    ) async throws(UploadError) -> UploadStanding {
        try await visit(id, of: device, cut: nil) { _, _, standing in standing }.value
    }

    /// What was said of an upload at its beginning; nil when the device has none of this name.
    package func plan(of id: UploadID, of device: DeviceID) -> UploadPlan? {
        uploads.find(id, of: device)?.file.plan
    }

    /// The upload of a part to go on with; nil where none was begun.
    package func upload(of key: BundleKey, part: Int) -> UploadID? {
        uploads.current(key, part: part)?.id
            ?? uploads.all(key, part: part)
            .last { $0.mark.phase == .complete && isStillHere($0.plan) }?.id
    }

    /// Takes an upload over, and what is said of it meanwhile is nobody else's.
    func visit<Value>(
        _ id: UploadID, of device: DeviceID, cut: (@Sendable () -> Void)?,
        _ body: (UploadFile, UploadFile.Fence, UploadStanding) async throws(UploadError) -> Value
    ) async throws(UploadError) -> (value: Value, visit: Int) {
        guard let (file, known) = uploads.find(id, of: device) else { throw .uploadUnknown }
        guard known.phase != .ended else { throw .uploadGone }
        let visit = uploads.seize(id, cut)
        do {
            let value = try await uploads.turns.take(id) { () async throws(UploadError) -> Value in
                var (fence, mark) = try await begin(file)
                if file.plan.endsAtLength, mark.isWhole {
                    // Its last byte came, and the end of its request did not.
                    mark = try await file.end(fence, expecting: [], .received)
                    uploads.note(id, mark)
                }
                // Its bytes are here, and something kept them from their bundle.
                if mark.phase == .received {
                    await finishSoon(file, mark)
                    mark = await file.mark
                    guard mark.phase != .ended else { throw .uploadGone }
                }
                return try await body(
                    file, fence, UploadStanding(id: id, plan: file.plan, mark: mark))
            }
            return (value, visit)
        } catch {
            uploads.release(id, visit)
            throw error
        }
    }

    private func begin(
        _ file: UploadFile
    ) async throws(UploadError) -> (UploadFile.Fence, UploadMark) {
        let begun: (fence: UploadFile.Fence, mark: UploadMark)
        do throws(UploadError) {
            begun = try await file.begin()
        } catch {
            guard case .uploadGone = error else { throw error }
            uploads.logger.error(
                "the bytes of an upload are damaged: its device begins anew",
                metadata: ["upload.id": "\(file.id)"])
            uploads.note(file.id, await file.discard(at: .now))
            throw .uploadGone
        }
        uploads.note(file.id, begun.mark)
        guard begun.mark.phase != .ended,
            begun.mark.phase != .complete || isStillHere(file.plan)
        else { throw .uploadGone }
        return (begun.fence, begun.mark)
    }

    /// False for a part that was complete and whose bundle was lost since.
    private func isStillHere(_ plan: UploadPlan) -> Bool {
        guard let key = plan.bundleKey, let part = plan.target?.part else { return true }
        if let opened = open.find(key) { return opened.completed(part) != nil }
        return queue.find(key)?.state != .lost
    }

    // MARK: Completing

    /// What became of an upload whose bytes are all here.
    package enum UploadOutcome: Sendable {
        /// A piece that is to be concatenated.
        case piece(UploadStanding)
        case part(Outcome, UploadStanding)
    }

    /// Makes an upload's bytes a part of their bundle; with the last part the bundle is queued.
    ///
    /// In the upload's turn. What the device is to blame for drops the upload; after any other error it
    /// is tried again when the upload is looked at next, at the next sweep and the next start.
    func finish(
        _ file: UploadFile, _ mark: UploadMark, expecting expected: [ExpectedDigest]
    ) async throws(UploadError) -> UploadOutcome {
        guard let target = file.plan.target, let key = file.plan.bundleKey else {
            return .piece(await noteComplete(file))
        }
        do {
            let opened = open.find(key)
            let told = opened?.declared(target.part)?.digest.map {
                ExpectedDigest(algorithm: .sha256, bytes: $0.bytes)
            }
            let (digest, layout) = try await file.check(
                expecting: expected + (told.map { [$0] } ?? []),
                limits: archiveLimits(besides: opened?.unzippedByteCount ?? 0))
            let content = PartContent(
                digest: digest, byteCount: mark.offset, location: .file(name: file.fileName))
            return try await turns.take(key) { () async throws(UploadError) -> UploadOutcome in
                try await join(content, layout.declaredByteCount, target.part, key, file)
            }
        } catch {
            if error.dropsUpload {
                uploads.note(file.id, await file.discard(at: .now))
                await forgetUndeclared(key)
            }
            throw error
        }
    }

    /// In the bundle's turn.
    private func join(
        _ content: PartContent, _ unzippedByteCount: Int, _ part: Int, _ key: BundleKey,
        _ file: UploadFile
    ) async throws(UploadError) -> UploadOutcome {
        let bundle = try await add(content, unzippedByteCount: unzippedByteCount, part, to: key)
        if let bundle {
            // From here on the file is the bundle's.
            let standing = await noteComplete(file)
            let outcome = bundle.isComplete ? try await handOver(bundle) : self.standing(of: bundle)
            return .part(.received(outcome), standing)
        }
        if let opened = open.find(key), opened.completed(part)?.fileName == file.fileName {
            let standing = await noteComplete(file)
            let outcome = opened.isComplete ? try await handOver(opened) : self.standing(of: opened)
            return .part(.received(outcome), standing)
        }
        let outcome = try await compare(content.digest, content.byteCount, with: part, of: key)
        let standing = await noteComplete(file)
        // Whoever handed the bundle over may have done so with this very file.
        let owned = await open.done(key)?.bundle.fileNames ?? []
        if !owned.contains(file.fileName) { await directory.remove([file.fileName]) }
        return .part(outcome, standing)
    }

    private func noteComplete(_ file: UploadFile) async -> UploadStanding {
        let mark = await file.complete(at: .now)
        uploads.note(file.id, mark)
        return UploadStanding(id: file.id, plan: file.plan, mark: mark)
    }

    /// Tries again what something kept from its end.
    func finishSoon(_ file: UploadFile, _ mark: UploadMark) async {
        do throws(UploadError) {
            _ = try await finish(file, mark, expecting: [])
        } catch {
            uploads.logger.warning(
                "an upload is not a part of its bundle yet",
                metadata: ["upload.id": "\(file.id)", "error": "\(error)"])
        }
    }

    /// A bundle of one part that was declared by its upload alone is forgotten with it.
    private func forgetUndeclared(_ key: BundleKey) async {
        guard let opened = open.find(key), opened.declaration.parts.count == 1,
            opened.declaration.bundleDigest == nil, uploads.open(of: key).isEmpty
        else { return }
        do throws(UploadError) {
            _ = try await giveUp(key)
        } catch {
            // It expires, or is taken up by the next upload.
            uploads.logger.warning(
                "a bundle whose part was refused stays",
                metadata: ["bundle.id": "\(key.bundleID)", "error": "\(error)"])
        }
    }

    /// The digests that a device wanted to be told, of all bytes of an upload that has just ended.
    package func digests(
        of standing: UploadStanding
    ) async throws(UploadError) -> [ExpectedDigest] {
        guard let file = uploads.entry(standing.id)?.file else { return [] }
        var digests: [ExpectedDigest] = []
        for algorithm in standing.plan.wanted {
            guard let bytes = await file.digest(algorithm) else { continue }
            digests.append(ExpectedDigest(algorithm: algorithm, bytes: bytes))
        }
        return digests
    }

    // MARK: Ending

    /// Ends an upload at its device's word; that of a bundle of one part takes the bundle with it.
    ///
    /// - Parameter isForgotten: one whose bytes are a part of their bundle is forgotten, and its bundle
    ///   stays.
    /// - Throws: ``UploadError/uploadUnknown``, ``UploadError/uploadGone``, else
    ///   ``UploadError/alreadyComplete`` for such a one.
    package func terminate(
        _ id: UploadID, of device: DeviceID, forgetting isForgotten: Bool = false
    ) async throws(UploadError) {
        guard let (file, known) = uploads.find(id, of: device) else { throw .uploadUnknown }
        guard known.phase != .ended else { throw .uploadGone }
        if known.phase == .complete, file.plan.target != nil {
            guard isForgotten else { throw .alreadyComplete }
            return await uploads.remove(id)
        }
        await end(id)
        guard let key = file.plan.bundleKey else { return }
        if uploads.entry(id)?.mark.phase == .complete {
            // Its last append was faster.
            guard isForgotten else { throw .alreadyComplete }
            return await uploads.remove(id)
        }
        guard let opened = open.find(key), opened.declaration.parts.count == 1 else { return }
        do throws(UploadError) {
            _ = try await giveUp(key)
        } catch {
            // Another upload of the same part was faster.
            guard case .alreadyComplete = error else { throw error }
        }
    }

    /// Ends an upload that is nobody's part yet; whoever is at it is cut off.
    ///
    /// - Parameter oldest: one with progress since then goes on; nil where that does not matter.
    /// - Returns: false for one that goes on.
    @discardableResult
    func end(
        _ id: UploadID, at time: Timestamp = .now, idleSince oldest: Timestamp? = nil
    ) async -> Bool {
        if let oldest, let mark = uploads.entry(id)?.mark, mark.time > oldest { return false }
        let visit = uploads.seize(id, nil)
        do throws(UploadError) {
            try await uploads.turns.take(id) { () async throws(UploadError) in
                guard let (file, mark) = uploads.entry(id), mark.isOpen || file.plan.target == nil,
                    mark.phase != .ended
                else { return }
                uploads.note(id, await file.discard(at: time))
            }
        } catch {}
        // Whose device ends more than these soon after each other is told less of the first ones.
        if let device = uploads.entry(id)?.file.plan.deviceID {
            for old in uploads.ended(of: device).dropLast(Self.endedMax) {
                await uploads.remove(old)
            }
        }
        uploads.release(id, visit)
        return true
    }

    /// To be called before a bundle is ended, in its turn: no upload says that a part of it is here.
    func forgetComplete(of key: BundleKey) async {
        for id in uploads.complete(of: key) { await uploads.remove(id) }
    }

    /// Ends what is unfinished of a bundle that is.
    func endUploads(of key: BundleKey, part: Int? = nil) async {
        for upload in uploads.open(of: key)
        where part == nil || uploads.entry(upload.id)?.file.plan.target?.part == part {
            await end(upload.id)
        }
    }
}

extension UploadError {
    /// The bytes are not what they should be: they are of no use to anybody.
    fileprivate var dropsUpload: Bool {
        switch self {
        case .digestMismatch, .refused, .conflict, .notDeclared, .uploadGone, .pastDeclared,
            .shortOfDeclared, .tooLarge:
            true
        default: false
        }
    }
}
