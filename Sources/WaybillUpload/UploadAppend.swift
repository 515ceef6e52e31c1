package import WaybillModel
internal import WaybillThreads

/// What one request adds to an upload; ends with ``finish()`` or ``abandon()``.
package final class UploadAppend {
    /// What the request says of its bytes.
    package struct Terms: Sendable {
        /// Where they go; nil where they go to the end, wherever that is.
        package var offset: Int?
        /// How many there are; nil for a body of untold length.
        package var announced: Int?
        /// How many the upload will have; nil where that is not told.
        package var byteCount: Int?
        /// Whether they are the last; nil where the upload's length says so.
        package var isLast: Bool?
        /// Digests of these bytes.
        package var expected: [ExpectedDigest]
        /// Digests of all bytes, besides those that were told at the beginning.
        package var expectedOfAll: [ExpectedDigest]

        package init(
            offset: Int?, announced: Int? = nil, byteCount: Int? = nil, isLast: Bool? = nil,
            expected: [ExpectedDigest] = [], expectedOfAll: [ExpectedDigest] = []
        ) {
            self.offset = offset
            self.announced = announced
            self.byteCount = byteCount
            self.isLast = isLast
            self.expected = expected
            self.expectedOfAll = expectedOfAll
        }
    }

    /// What came of it.
    package enum Outcome: Sendable {
        /// More is to come.
        case unfinished(UploadStanding)
        case finished(BundleIntake.UploadOutcome)
    }

    private let intake: BundleIntake
    private let file: UploadFile
    private let fence: UploadFile.Fence
    private let visit: Int
    private let terms: Terms
    /// The upload's bytes, as far as they are known.
    private let byteCount: Int?
    private let isBeginning: Bool
    private var isFirstPiece = true
    /// Bytes that are not in the file yet: each piece by itself would cost a change of threads.
    private var pending: [UInt8] = []
    /// What each piece leaves synced and tellable, if anything more.
    private var writer = PieceWriter<UploadMark?>()
    private var flushedAt = Deadline(nanoseconds: 0)

    private static let writtenAtOnce = 256 << 10
    /// What a slow network brings is written as it comes.
    private static let flushInterval = Duration.milliseconds(20)

    /// Bytes of the upload, synced or not.
    private var offset: Int
    /// Bytes of the request.
    private var received = 0
    /// All bytes of the upload are here: what goes wrong from then on is not the append's.
    package private(set) var isProcessing = false

    fileprivate init(
        intake: BundleIntake, file: UploadFile, fence: UploadFile.Fence, visit: Int, terms: Terms,
        mark: UploadMark, byteCount: Int?
    ) {
        self.intake = intake
        self.file = file
        self.fence = fence
        self.visit = visit
        self.terms = terms
        self.byteCount = byteCount
        offset = mark.offset
        isBeginning = mark.offset == 0
    }

    /// Adds bytes at the end; copies them once.
    ///
    /// - Returns: true when there are enough of them for ``write()``, to be called before the next.
    /// - Throws: ``UploadError/pastDeclared(byteCount:)``, ``UploadError/tooLarge(bytesMax:)``. What was
    ///   added before stays.
    package func add(_ bytes: UnsafeRawBufferPointer) throws(UploadError) -> Bool {
        guard !bytes.isEmpty else { return false }
        if let byteCount, offset + bytes.count > byteCount {
            throw .pastDeclared(byteCount: byteCount)
        }
        let bytesMax = intake.partBytesMax
        guard offset + bytes.count <= bytesMax else { throw .tooLarge(bytesMax: bytesMax) }
        if pending.isEmpty { pending.reserveCapacity(Self.writtenAtOnce + bytes.count) }
        pending.append(contentsOf: bytes)
        offset += bytes.count
        received += bytes.count
        // The last bytes are written when the append ends.
        return pending.count >= Self.writtenAtOnce
            || (received != terms.announced
                && Deadline.now >= flushedAt.advanced(by: Self.flushInterval))
    }

    /// Has what was added written, which goes on while more is added.
    ///
    /// - Returns: the offset, where it is synced further than before and may be told: never while a
    ///   digest is pending that could take the bytes back.
    /// - Throws: ``UploadError/tooManyOpen(_:)``, ``UploadError/takenOver``, and what the disk throws,
    ///   of this or of an earlier piece. What was added before stays.
    package func write() async throws(UploadError) -> Int? {
        guard !pending.isEmpty else { return nil }
        await endOthers()
        let bytes = takePending()
        flushedAt = .now
        return try note(
            await writer.begin { [file, fence] () async throws(UploadError) in
                try await file.append(bytes, fence)
            })
    }

    private func takePending() -> [UInt8] {
        defer { pending = [] }
        return pending
    }

    /// With the first byte of an upload the older ones of the same part end.
    private func endOthers() async {
        defer { isFirstPiece = false }
        guard isFirstPiece, isBeginning, let key = file.plan.bundleKey else { return }
        let all = intake.uploads.all(key, part: file.plan.target?.part ?? 0)
        // One that was ended itself, by a newer one, is not among them any more.
        guard let place = all.firstIndex(where: { $0.id == file.id }) else { return }
        for other in all[..<place] where other.mark.phase == .receiving {
            await intake.end(other.id)
        }
    }

    /// Waits for the piece under way. Without it nothing that came after it counts.
    private func endPiece() async throws(UploadError) {
        do throws(UploadError) {
            _ = try note(await writer.end())
        } catch {
            pending = []
            throw error
        }
    }

    /// Takes in what a piece left synced.
    private func note(_ outcome: UploadMark??) throws(UploadError) -> Int? {
        guard let told = outcome ?? nil else { return nil }
        intake.uploads.note(file.id, told)
        if byteCount == nil { try intake.checkRoom(for: file.plan, adding: 0) }
        return file.plan.expected.isEmpty && terms.expectedOfAll.isEmpty ? told.offset : nil
    }

    /// Adds the bytes of complete pieces.
    func write(contentsOf names: [String]) async throws(UploadError) {
        offset += try await file.append(contentsOf: names, fence)
    }

    /// Ends the append: what it added is synced on return, and a part that is complete is in its bundle.
    ///
    /// - Throws: ``UploadError/digestMismatch(_:)`` with nothing of this append kept,
    ///   ``UploadError/lengthMismatch(offset:)``, ``UploadError/refused(_:)`` and the like with nothing
    ///   of the upload kept, and what disk and queue throw.
    package func finish() async throws(UploadError) -> Outcome {
        defer { intake.uploads.release(file.id, visit) }
        try await endPiece()
        if !pending.isEmpty { await endOthers() }
        let rest = takePending()
        let isLast = terms.isLast ?? (byteCount == offset)
        let isWhole = byteCount ?? offset == offset
        let outcome = try await intake.uploads.turns.take(file.id) {
            () async throws(UploadError) -> Outcome in
            let mark = try await file.end(
                fence, adding: rest, expecting: terms.expected,
                isLast && isWhole ? .received : .receiving)
            intake.uploads.note(file.id, mark)
            guard isLast else {
                return .unfinished(UploadStanding(id: file.id, plan: file.plan, mark: mark))
            }
            guard isWhole else { throw .lengthMismatch(offset: mark.offset) }
            isProcessing = true
            return .finished(
                try await intake.finish(file, mark, expecting: terms.expectedOfAll))
        }
        if case .finished = outcome, let key = file.plan.bundleKey {
            // What was begun and got no byte has nothing to wait for.
            await intake.endUploads(of: key, part: file.plan.target?.part)
        }
        return outcome
    }

    /// Ends an append whose body was cut off: what came stays, unless a digest of it was told.
    package func abandon() async {
        // What cannot be written now comes again.
        try? await endPiece()
        if !pending.isEmpty { await endOthers() }
        let (isCurrent, mark) = await file.abandon(fence, adding: takePending())
        intake.uploads.note(file.id, mark)
        intake.uploads.release(file.id, visit)
        guard isCurrent, file.plan.endsAtLength, mark.isWhole else { return }
        // Nothing is missing but the end of the request; what stands in the way is logged there.
        _ = try? await intake.upload(file.id, of: file.plan.deviceID)
    }
}

extension BundleIntake {
    /// Begins to add bytes to an upload; whoever was at it is cut off.
    ///
    /// - Parameter cut: ends this request's connection, when another one comes for the upload.
    /// - Throws: ``UploadError/uploadUnknown``, ``UploadError/uploadGone``,
    ///   ``UploadError/uploadComplete(offset:)``, ``UploadError/offsetMismatch(expected:provided:)``,
    ///   ``UploadError/lengthMismatch(offset:)``, ``UploadError/pastDeclared(byteCount:)``,
    ///   ``UploadError/tooLarge(bytesMax:)``, ``UploadError/tooManyOpen(_:)``, and what the disk throws.
    package func append(
        to id: UploadID, of device: DeviceID, _ terms: UploadAppend.Terms,
        cut: (@Sendable () -> Void)?
    ) async throws(UploadError) -> UploadAppend {
        let (begun, visit) = try await visit(id, of: device, cut: cut) {
            (file, fence, standing) async throws(UploadError) in
            let byteCount = try check(terms, standing)
            if !terms.expected.isEmpty || byteCount != standing.mark.byteCount {
                uploads.note(
                    id,
                    try await file.prepare(
                        fence, checking: terms.expected.map(\.algorithm), byteCount: byteCount))
            }
            return (file: file, fence: fence, mark: standing.mark, byteCount: byteCount)
        }
        return UploadAppend(
            intake: self, file: begun.file, fence: begun.fence, visit: visit, terms: terms,
            mark: begun.mark, byteCount: begun.byteCount)
    }

    /// - Returns: how many bytes the upload will have, as far as that is known.
    private func check(
        _ terms: UploadAppend.Terms, _ standing: UploadStanding
    ) throws(UploadError) -> Int? {
        let mark = standing.mark
        guard !standing.isComplete else { throw .uploadComplete(offset: mark.offset) }
        if let offset = terms.offset, offset != mark.offset {
            throw .offsetMismatch(expected: mark.offset, provided: offset)
        }
        let bytesMax = partBytesMax
        guard terms.announced ?? 0 <= bytesMax else { throw .tooLarge(bytesMax: bytesMax) }
        let end = terms.announced.map { mark.offset + $0 }
        var declared: Int?
        if let key = standing.plan.bundleKey, let part = standing.plan.target?.part {
            declared = open.find(key)?.declared(part)?.byteCount
        }
        var known = mark.byteCount ?? declared
        if let told = terms.byteCount {
            guard known ?? told == told, told >= mark.offset else {
                throw .lengthMismatch(offset: mark.offset)
            }
            known = told
        }
        if let end, let known, end > known { throw .pastDeclared(byteCount: known) }
        if terms.isLast == true, let end {
            guard known ?? end == end else { throw .lengthMismatch(offset: mark.offset) }
            known = end
        }
        guard max(known ?? 0, end ?? 0) <= bytesMax else { throw .tooLarge(bytesMax: bytesMax) }
        if mark.byteCount ?? declared == nil || (standing.plan.target == nil && mark.offset == 0) {
            try checkRoom(for: standing.plan, adding: max(known ?? 0, end ?? 0) - mark.offset)
        }
        return known
    }

    // MARK: Concatenation

    /// Makes an upload of complete pieces, in their order; the pieces go with it.
    ///
    /// - Parameter pieces: uploads of the same device without a target.
    /// - Throws: ``UploadError/notConcatenable``, and what beginning and ending an upload throw.
    package func concatenate(
        _ pieces: [UploadID], _ plan: UploadPlan
    ) async throws(UploadError) -> UploadOutcome {
        if let key = plan.bundleKey, let target = plan.target,
            let done = uploads.all(key, part: target.part).first(where: {
                $0.plan.concatenation == plan.concatenation && $0.mark.phase == .complete
            })
        {
            // The answer to the first one was lost.
            return .piece(UploadStanding(id: done.id, plan: done.plan, mark: done.mark))
        }
        var names: [String] = []
        var byteCount = 0
        for id in pieces {
            guard let (file, mark) = uploads.find(id, of: plan.deviceID), file.plan.target == nil,
                mark.phase == .complete
            else { throw .notConcatenable }
            // A piece without a byte has no file.
            if mark.offset > 0 { names.append(file.fileName) }
            byteCount += mark.offset
        }
        let begun = try await beginUpload(plan, byteCount: byteCount, isCharged: false)
        let append = try await append(
            to: begun.id, of: plan.deviceID,
            UploadAppend.Terms(offset: 0, announced: byteCount, isLast: true), cut: nil)
        do {
            try await append.write(contentsOf: names)
        } catch {
            await end(begun.id)
            throw error
        }
        guard case .finished(let outcome) = try await append.finish() else {
            throw .lengthMismatch(offset: byteCount)
        }
        for id in pieces { await end(id) }
        return outcome
    }
}
