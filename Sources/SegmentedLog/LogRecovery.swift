/// Opens a log's directory: keys, deletions, records, tail. See OnDiskFormat, "Opening".
struct LogRecovery {
    /// What the writer goes on from.
    struct Outcome {
        var report = RecoveryReport()
        var logID: [UInt8] = []
        /// Readable segments with where their records end.
        var segments: [UInt64: SegmentInfo] = [:]
        var manifest = Manifest(entries: [])
        var nextSegment: UInt64 = 1
        var nextSequence: UInt64 = 1
        /// Good records behind a hole in the unfinished write, in order; not handed on yet. The new
        /// segment takes them over.
        var kept: [LogRecord] = []
    }

    /// A segment whose key is known.
    private struct Source {
        let number: UInt64
        let header: SegmentHeader
        let cipher: SegmentCipher
        let file: any OpenFile
        let byteCount: Int
    }

    private let options: LogOptions
    private let fileSystem: any FileSystem
    private let visitor: LogVisitor
    private var outcome = Outcome()
    private var sources: [Source] = []
    private var deleted: Set<UInt64> = []
    /// The newest readable manifest and the segment that it begins.
    private var manifest: (segment: UInt64, entries: [UInt64: Manifest.Entry])?
    private var unreadable: [UInt64: UInt64] = [:]
    /// Segments that were rewritten and are there as they were before.
    private var outdated: Set<UInt64> = []
    private var missingRecords = MissingRecords()
    /// The segment that was read last.
    private var lastRead: UInt64 = 0
    /// What a look through a whole segment found, by the segment's number.
    private var scanned: [UInt64: SegmentScan] = [:]

    private init(options: LogOptions, fileSystem: any FileSystem, visitor: LogVisitor) {
        self.options = options
        self.fileSystem = fileSystem
        self.visitor = visitor
    }

    static func run(
        options: LogOptions, fileSystem: any FileSystem, visitor: LogVisitor
    ) throws -> Outcome {
        var recovery = LogRecovery(options: options, fileSystem: fileSystem, visitor: visitor)
        let names = try fileSystem.list(options.directory)
        let numbers = names.compactMap { SegmentName.number($0) }.sorted()
        let identity = try recovery.readIdentity(isPresent: names.contains("identity"))
        try recovery.openSegments(numbers, identity)
        try recovery.tidy(names)
        try recovery.settleIdentity(identity, isNew: numbers.isEmpty)
        try recovery.readManifest()
        try recovery.finishDeletions(numbers)
        try recovery.replaySegments(numbers)
        recovery.closeAccounts(numbers)
        try recovery.removeIndexes(names)
        return recovery.outcome
    }

    // MARK: Identity and keys

    private func readIdentity(isPresent: Bool) throws(LogError) -> LogIdentity? {
        guard isPresent else { return nil }
        let file = try fileSystem.open(options.directory + "/identity", .existing)
        return try LogIdentity.decode(file.read(at: 0, count: LogIdentity.byteCount)[...])
    }

    private mutating func openSegments(
        _ numbers: [UInt64], _ identity: LogIdentity?
    ) throws(LogError) {
        var logID = identity?.logID
        // Backwards, so that without an identity the newest segment says which log this is.
        for number in numbers.reversed() {
            let path = SegmentName.path(in: options.directory, number)
            let file = try fileSystem.open(path, .existing)
            let byteCount = try file.byteCount()
            guard let header = try SegmentHeader.read(file) else {
                refuse(number, byteCount, .headerDamaged)
                continue
            }
            guard header.segment == number, logID == nil || header.logID == logID else {
                refuse(number, byteCount, .foreign)
                continue
            }
            let keys = [options.masterKey] + options.previousMasterKeys
            guard let masterKey = keys.first(where: { $0.id == header.keyID }) else {
                throw .wrongKey(keyID: MasterKey.text(of: header.keyID))
            }
            // The header was changed on purpose, with a right checksum: the key cannot be had.
            guard let key = try? header.unwrapKey(masterKey, at: .segmentKey) else {
                refuse(number, byteCount, .headerDamaged)
                continue
            }
            logID = header.logID
            let cipher = SegmentCipher(key: key, logID: header.logID, segment: number)
            sources.append(
                Source(
                    number: number, header: header, cipher: cipher, file: file,
                    byteCount: byteCount))
        }
        sources.reverse()
        outcome.logID = logID ?? randomBytes(16)
    }

    private mutating func refuse(
        _ number: UInt64, _ byteCount: Int, _ reason: RecoveryFault.Reason
    ) {
        if reason == .headerDamaged { unreadable[number] = UInt64(byteCount) }
        addFault(number, 0..<UInt64(byteCount), nil, reason)
    }

    private mutating func addFault(
        _ segment: UInt64, _ bytes: Range<UInt64>, _ sequences: Range<UInt64>?,
        _ reason: RecoveryFault.Reason
    ) {
        outcome.report.faults.append(
            RecoveryFault(segment: segment, bytes: bytes, sequences: sequences, reason: reason))
    }

    // MARK: Directory

    private mutating func tidy(_ names: [String]) throws(LogError) {
        for name in names {
            if name.hasSuffix(SegmentName.draftSuffix) {
                try fileSystem.unlink(options.directory + "/" + name)
            } else if SegmentName.number(name) == nil, name != "lock", name != "identity",
                SegmentName.number(ofIndex: name) == nil, !options.otherNames.contains(name)
            {
                outcome.report.unknownFiles.append(name)
            }
        }
        outcome.report.unknownFiles.sort()
    }

    private mutating func settleIdentity(
        _ identity: LogIdentity?, isNew: Bool
    ) throws(LogError) {
        guard identity == nil else { return }
        if !isNew { addFault(0, 0..<UInt64(LogIdentity.byteCount), nil, .identity) }
        let path = options.directory + "/identity"
        let file = try fileSystem.open(path + SegmentName.draftSuffix, .create)
        let content = LogIdentity(logID: outcome.logID, createdAt: wallClockMicroseconds()).encode()
        try file.writeAll(content[...], at: 0)
        try file.synchronize(at: .identity)
        try fileSystem.rename(path + SegmentName.draftSuffix, to: path)
        try fileSystem.syncDirectory(options.directory, at: .identity)
    }

    // MARK: Manifest and deletions

    private mutating func readManifest() throws(LogError) {
        for source in sources.reversed() {
            let clear = try source.file.read(
                at: SegmentHeader.recordsOffset, count: FrameHeader.byteCount)
            guard let header = FrameHeader(clear[...]), header.type == InternalType.manifest,
                SegmentHeader.recordsOffset + header.frameByteCount <= source.byteCount
            else { continue }
            let frame = try source.file.read(
                at: SegmentHeader.recordsOffset, count: header.frameByteCount)
            guard let payload = source.cipher.open(frame[...], header, at: .manifest),
                let content = Manifest(payload)
            else { continue }
            let entries = content.entries.map { ($0.segment, $0) }
            manifest = (source.number, Dictionary(entries) { first, _ in first })
            return
        }
    }

    /// Unlinks what a deletion record names; the process may have ended before it did.
    private mutating func finishDeletions(_ numbers: [UInt64]) throws(LogError) {
        for source in sources where source.number >= manifest?.segment ?? 0 {
            var scan = makeScan(source)
            let bytes = try read(source, limit: nil)
            var found: [UInt64] = []
            scan.run(bytes, limit: nil) { record in
                guard record.type == InternalType.deletion else { return }
                found += DeletionList.decode(record.payload) ?? []
            }
            scanned[source.number] = scan
            deleted.formUnion(found)
            // After a failed sync the disk may not have the record that has the files go.
            if source.number == sources.last?.number, !deleted.isDisjoint(with: numbers) {
                try secure(source, bytes, from: scan.syncedThrough, to: scan.end)
            }
        }
        let left = numbers.filter { deleted.contains($0) }
        for number in left {
            try fileSystem.unlink(SegmentName.path(in: options.directory, number))
        }
        // Those that are gone already may come back by a power cut: no later manifest would know them.
        if !deleted.isEmpty {
            try fileSystem.syncDirectory(options.directory, at: .finishedDeletions)
        }
        sources.removeAll { deleted.contains($0.number) }
        for number in deleted { unreadable[number] = nil }
        outcome.report.faults.removeAll { deleted.contains($0.segment) }
    }

    // MARK: Records

    private func makeScan(_ source: Source) -> SegmentScan {
        SegmentScan(
            segment: source.number, cipher: source.cipher,
            firstSequence: source.header.firstSequence)
    }

    private func read(_ source: Source, limit: UInt64?) throws(LogError) -> [UInt8] {
        let end = min(source.byteCount, Int(clamping: limit ?? .max))
        let count = max(0, end - SegmentHeader.recordsOffset)
        return try source.file.read(at: SegmentHeader.recordsOffset, count: count)
    }

    /// Hands on the segments in order; those that are gone, where somebody remembers them.
    private mutating func replaySegments(_ numbers: [UInt64]) throws {
        refuseOutdated()
        let readable = Dictionary(sources.map { ($0.number, $0) }) { first, _ in first }
        let gone = Set(unreadable.keys).union(missing(numbers))
        for number in gone.union(readable.keys).sorted() {
            if let source = readable[number] {
                try replay(source)
            } else {
                let end = manifest?.entries[number]?.end ?? unreadable[number] ?? 0
                try _ = visitor.begin(
                    StoredSegment(
                        goneWith: number, end: end, logID: outcome.logID, options: options,
                        fileSystem: fileSystem))
                // Frames have 48 bytes at least: numbers that it may have used are not used again.
                outcome.nextSequence += end / 48 + 1
            }
        }
    }

    /// Who puts an old state of a segment back brings back what was done with, and takes away what
    /// it was rewritten for.
    private mutating func refuseOutdated() {
        for source in sources where source.header.rewrittenEnd == 0 {
            guard manifest?.entries[source.number]?.isRewritten == true else { continue }
            outdated.insert(source.number)
            unreadable[source.number] = UInt64(source.byteCount)
            addFault(source.number, 0..<UInt64(source.byteCount), nil, .outdated)
        }
        sources.removeAll { outdated.contains($0.number) }
    }

    private mutating func replay(_ source: Source) throws {
        let known = manifest?.entries[source.number]?.end
        let isRewritten = source.header.rewrittenEnd > 0
        let limit = isRewritten ? UInt64(source.header.rewrittenEnd) : known
        if let manifest, source.number < manifest.segment, known == nil {
            addFault(source.number, 0..<UInt64(source.byteCount), nil, .unexpected)
            return
        }
        outcome.report.segments += 1
        defer { lastRead = source.number }
        let isLast = source.number == sources.last?.number
        if let limit, !isLast, try visitor.begin(stored(source, end: limit)) {
            if UInt64(source.byteCount) < limit {
                addFault(source.number, UInt64(source.byteCount)..<limit, nil, .cutShort)
            }
            outcome.segments[source.number] = SegmentInfo(
                cipher: source.cipher, end: limit, fileBytes: source.byteCount,
                salt: source.header.salt, isRewritten: isRewritten)
            missingRecords.skip()
            return
        }
        let bytes = try read(source, limit: limit)
        let cut = limit == nil && isLast ? cutOfTornTail(source, bytes) : nil
        var scan = makeScan(source)
        var kept: [LogRecord] = []
        var missing = missingRecords
        if isRewritten {
            missing.beginRewritten()
        } else {
            missing.begin(
                firstSequence: source.header.firstSequence, follows: lastRead + 1 == source.number)
        }
        try scan.run(bytes, limit: limit) { record in
            missing.take(record)
            guard record.type < InternalType.first else { return }
            if let cut, record.position.offset >= cut {
                kept.append(record)
            } else {
                try visitor.replay(record)
            }
        }
        missing.end()
        missingRecords = missing
        outcome.kept = kept
        outcome.report.records += scan.records
        outcome.nextSequence = max(outcome.nextSequence, scan.lastSequence + 1)
        let end = try judge(source, scan, bytes, limit: limit, cut: cut)
        // A deletion behind a hole is acted upon by now: it stays until a later manifest says the same.
        let behind = max(end, scan.end)
        outcome.segments[source.number] = SegmentInfo(
            cipher: source.cipher, end: end,
            fileBytes: isLast ? giveBack(source, from: behind) : source.byteCount,
            salt: source.header.salt, isRewritten: isRewritten)
        if !isLast { try visitor.end(stored(source, end: end)) }
    }

    private func stored(_ source: Source, end: UInt64) -> StoredSegment {
        StoredSegment(
            about: IndexedSegment(
                logID: source.header.logID, segment: source.number, end: end,
                salt: source.header.salt), options: options, fileSystem: fileSystem)
    }

    /// Segments that the manifest expects and that are not there.
    private func missing(_ numbers: [UInt64]) -> Set<UInt64> {
        Set(manifest?.entries.keys.map(\.self) ?? []).subtracting(numbers).subtracting(deleted)
    }

    /// Where the last segment's records end: at the first hole that no sync had covered, or behind a
    /// closing record.
    private func cutOfTornTail(_ source: Source, _ bytes: [UInt8]) -> UInt64? {
        let scan = scanned[source.number] ?? wholeScan(source, bytes)
        return scan.isClosed ? scan.end : scan.unsyncedHoles.first?.bytes.lowerBound ?? scan.end
    }

    private func wholeScan(_ source: Source, _ bytes: [UInt8]) -> SegmentScan {
        var scan = makeScan(source)
        scan.run(bytes, limit: nil) { _ in }
        return scan
    }

    /// Gives back what a segment that was not closed had allocated: a full disk may have no other room
    /// for the next one. Returns the file's size.
    private func giveBack(_ source: Source, from end: UInt64) -> Int {
        guard source.byteCount > Int(end) else { return source.byteCount }
        do {
            try source.file.truncate(Int(end))
            return Int(end)
        } catch {
            // It costs room until the segment is deleted, nothing else.
            return source.byteCount
        }
    }

    /// Tells torn tails from damage, and makes the tail durable up to its cut.
    private mutating func judge(
        _ source: Source, _ scan: SegmentScan, _ bytes: [UInt8], limit: UInt64?, cut: UInt64?
    ) throws(LogError) -> UInt64 {
        // Numbers that a rewritten segment has not are no news.
        let isRewritten = source.header.rewrittenEnd > 0
        for hole in cut == nil ? scan.holes : scan.syncedHoleList {
            addFault(source.number, hole.bytes, isRewritten ? nil : hole.sequences, .damaged)
        }
        if let limit {
            let covered = max(scan.end, scan.holes.last?.bytes.upperBound ?? 0)
            if covered < limit { addFault(source.number, covered..<limit, nil, .cutShort) }
            return limit
        }
        guard let cut else { return scan.end }
        outcome.report.tornBytes += scan.unsyncedHoles.reduce(0) { $0 + $1.bytes.count }
        try secure(source, bytes, from: min(scan.syncedThrough, cut), to: cut)
        return cut
    }

    /// Makes durable what the page cache may hold and the disk may not: writes it again and syncs.
    private func secure(
        _ source: Source, _ bytes: [UInt8], from start: UInt64, to end: UInt64
    ) throws(LogError) {
        let base = SegmentHeader.recordsOffset
        try source.file.writeAll(bytes[Int(start) - base..<Int(end) - base], at: Int(start))
        try source.file.synchronize(at: .tail)
    }

    private mutating func closeAccounts(_ numbers: [UInt64]) {
        let expected = manifest?.entries ?? [:]
        for number in missing(numbers).sorted() {
            addFault(number, 0..<(expected[number]?.end ?? 0), nil, .missing)
        }
        outcome.report.lost = missingRecords.found
        outcome.report.faults.sort {
            ($0.segment, $0.bytes.lowerBound) < ($1.segment, $1.bytes.lowerBound)
        }
        let kept = outcome.segments.map {
            Manifest.Entry(segment: $0.key, end: $0.value.end, isRewritten: $0.value.isRewritten)
        }
        let damaged = unreadable.map {
            Manifest.Entry(
                segment: $0.key, end: $0.value, isRewritten: outdated.contains($0.key))
        }
        outcome.manifest.entries = (kept + damaged).sorted { $0.segment < $1.segment }
        let highest = [numbers.max(), expected.keys.max(), deleted.max(), manifest?.segment]
        outcome.nextSegment = (highest.compactMap(\.self).max() ?? 0) + 1
    }

    /// Unlinks index files of segments that nothing is known of any more.
    private func removeIndexes(_ names: [String]) throws(LogError) {
        let known = Set(outcome.segments.keys).union(unreadable.keys)
            .union(manifest?.entries.keys.map(\.self) ?? []).subtracting(deleted)
        for name in names {
            guard let number = SegmentName.number(ofIndex: name), !known.contains(number) else {
                continue
            }
            try fileSystem.unlink(options.directory + "/" + name)
        }
    }
}
