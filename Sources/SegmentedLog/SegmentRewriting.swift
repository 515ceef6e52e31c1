internal import WaybillThreads

/// A rewritten segment on its way to the old one's place.
struct SegmentReplacement: Sendable {
    let segment: RewrittenSegment
    /// Hears how it ended; if well, it is given what has the log read the new one from then on, and
    /// must call it.
    let completion: @Sendable (Result<@Sendable () -> Void, LogError>) -> Void
}

/// A closed segment without what is needed no more, which does not count yet.
package struct SegmentDraft: Sendable {
    let segment: RewrittenSegment

    /// Where the records lie that were kept, in the order of the log, once
    /// ``SegmentedLog/SegmentedLog/replace(with:_:)`` has succeeded.
    package let records: [AppendedRecord]
    /// Bytes of the whole file.
    package var byteCount: Int { segment.info.fileBytes }
}

extension SegmentedLog {
    /// Segments that were written anew since the log was opened, under its first master key.
    package var rewrittenSegments: Set<UInt64> { state.withLock { $0.rewritten } }

    /// Writes a closed segment anew with a part of its records, which keep their sequences. Durable on
    /// return; counts only after ``replace(with:_:)``. Blocks; holds the segment in memory.
    ///
    /// - Parameters:
    ///   - isWanted: asked for each record, in order.
    ///   - name: what a wanted record is called if it is damaged before the segment has an index; empty:
    ///     nothing.
    /// - Throws: ``LogError/noSuchSegment(_:)``, ``LogError/damaged(segment:offset:)`` (then the segment
    ///   stays as it is), ``LogError/diskFull``, ``LogError/io(errno:operation:)``.
    package func draft(
        of number: UInt64, keeping isWanted: (LogRecord) -> Bool,
        naming name: (LogRecord) -> [UInt8] = { _ in [] }
    ) throws(LogError) -> SegmentDraft {
        var kept: [LogRecord] = []
        var names: [LostRecord] = []
        // Of a record that goes, and where its place would be: the names need one.
        var free: (sequence: UInt64, index: Int)?
        let (scan, info): (SegmentScan, SegmentInfo)
        do {
            (scan, info) = try scanAll(number) { record in
                let isOwn = record.type >= InternalType.first
                guard record.type != InternalType.names, isOwn || isWanted(record) else {
                    free = (record.sequence, kept.count)
                    return
                }
                kept.append(record)
                let name = isOwn ? [] : name(record)
                if !name.isEmpty { names.append(LostRecord(sequence: record.sequence, name: name)) }
            }
        } catch let error as LogError {
            throw error
        } catch {
            throw .io(errno: 0, operation: "\(error)")
        }
        guard scan.holes.isEmpty, scan.end == info.end else {
            throw .damaged(
                segment: number, offset: UInt32(scan.holes.first?.bytes.lowerBound ?? scan.end))
        }
        if let free, !names.isEmpty {
            let position = RecordPosition(segment: number, offset: 0, byteCount: 0)
            kept.insert(
                LogRecord(
                    sequence: free.sequence, type: InternalType.names,
                    payload: RecordNames.encode(names), position: position), at: free.index)
        }
        let factory = SegmentFactory(options: options, fileSystem: fileSystem, logID: logID)
        let segment = try factory.rewrite(number, kept)
        return SegmentDraft(
            segment: segment,
            records: segment.records.filter { $0.type < InternalType.first }.map {
                AppendedRecord(sequence: $0.sequence, position: $0.position)
            })
    }

    /// Gives a draft the place of its segment. Durable on return; blocks.
    ///
    /// - Parameter takeOver: called once, on the writer's thread, if all went well: must call what it is
    ///   given, from when on the log reads the new segment. Whoever holds a position must look it up
    ///   again when a record is not found there.
    /// - Throws: ``LogError/noSuchSegment(_:)``, ``LogError/io(errno:operation:)``, ``LogError/closed``,
    ///   ``LogError/failed(errno:operation:)``.
    package func replace(
        with draft: SegmentDraft, _ takeOver: @escaping @Sendable (_ apply: () -> Void) -> Void
    ) throws(LogError) {
        let result = Monitor<Result<Void, LogError>?>(nil)
        let replacement = SegmentReplacement(segment: draft.segment) { ended in
            if case .success(let apply) = ended { takeOver(apply) }
            result.update { $0 = ended.map { _ in () } }
        }
        let refusal = state.update { state -> LogError? in
            if let failure = state.failure { return failure }
            if state.isClosing { return .closed }
            state.replacements.append(replacement)
            return nil
        }
        if let refusal {
            // A draft that stays behind is unlinked at the next opening.
            try? fileSystem.unlink(draft.segment.draft)
            throw refusal
        }
        try wait(for: result).get()
    }
}
