/// What the records at an archive's end say of its directory.
struct EndRecord {
    let directoryOffset: Int
    let directoryCount: Int

    /// Reads the end record, and the zip64 pair before it where there is one.
    init(of source: some ArchiveSource) throws {
        let size = source.byteCount
        guard size >= RecordLength.endRecord else { throw try Self.diagnosis(of: source) }
        let position = size - RecordLength.endRecord
        let record = try source.header(at: position, count: RecordLength.endRecord)
        guard record.u32(0) == RecordSignature.endRecord else {
            throw try Self.diagnosis(of: source)
        }
        guard record.u16(20) == 0 else {
            throw ArchiveRefusal(.comment, "an archive has no comment", at: position + 20)
        }
        let zip64 = try Zip64End(of: source, before: position)
        try Self.checkCounts(record, zip64)
        if zip64 == nil, let saturated = Self.saturatedField(of: record) {
            throw ArchiveRefusal(
                .inconsistent, "the end record refers to a zip64 record that is missing",
                at: position + saturated)
        }
        let offset = zip64?.directoryOffset ?? UInt64(record.u32(16))
        let count = zip64?.directoryCount ?? UInt64(record.u32(12))
        let directoryEnd = zip64?.start ?? position
        let (end, overflow) = offset.addingReportingOverflow(count)
        guard !overflow, end <= UInt64(directoryEnd) else {
            let fields =
                zip64.map { ($0.start + 40, $0.start + 48) } ?? (position + 12, position + 16)
            let isThere = try Self.isDirectory(in: source, at: offset, before: directoryEnd)
            throw ArchiveRefusal(
                .inconsistent, "the directory lies before the end record",
                at: isThere || count > UInt64(directoryEnd) ? fields.0 : fields.1)
        }
        guard end == UInt64(directoryEnd) else {
            throw try Self.misplacement(
                in: source, before: position, from: Int(end), to: directoryEnd, count: Int(count))
        }
        directoryOffset = Int(offset)
        directoryCount = Int(count)
    }

    /// Whether a directory begins at `offset`: if its end is wrong, then its length is.
    private static func isDirectory(
        in source: some ArchiveSource, at offset: UInt64, before end: Int
    ) throws -> Bool {
        guard end >= 4, offset <= UInt64(end - 4) else { return false }
        return try source.header(at: Int(offset), count: 4).u32(0)
            == RecordSignature.directoryHeader
    }

    /// The first field that refers to a zip64 record.
    private static func saturatedField(of record: HeaderBytes) -> Int? {
        [4, 6, 8, 10].first { record.u16($0) == saturated16 }
            ?? [12, 16].first { record.u32($0) == saturated32 }
    }

    /// Checks that the zip64 record agrees, then disks and entry counts.
    private static func checkCounts(
        _ record: HeaderBytes, _ zip64: Zip64End?
    ) throws(ArchiveRefusal) {
        let narrow =
            [4, 6, 8, 10].map { ($0, UInt64(record.u16($0)), UInt64(saturated16)) }
            + [12, 16].map { ($0, UInt64(record.u32($0)), UInt64(saturated32)) }
        if let zip64 {
            for ((position, value, saturated), wide) in zip(narrow, zip64.fields)
            where value != saturated && value != wide {
                throw ArchiveRefusal(
                    .inconsistent, "the end record and the zip64 end record agree",
                    at: record.start + position)
            }
        }
        let values = zip64?.fields ?? narrow.map { $0.1 }
        let places =
            zip64.map { zip64 in [16, 20, 24, 32].map { zip64.start + $0 } }
            ?? [4, 6, 8, 10].map { record.start + $0 }
        for index in 0..<2 where values[index] != 0 {
            throw ArchiveRefusal(.inconsistent, "an archive lies on one disk", at: places[index])
        }
        for index in 2..<4 where values[index] != 1 {
            throw ArchiveRefusal(.entries, "an archive has exactly one entry", at: places[index])
        }
    }
}

/// Why an archive does not end with its end record.
extension EndRecord {
    private static let tailCountMax = RecordLength.endRecord + saturated16

    /// Why the directory does not end where the end records begin.
    private static func misplacement(
        in source: some ArchiveSource, before endRecord: Int, from end: Int, to directoryEnd: Int,
        count: Int
    ) throws -> ArchiveRefusal {
        if let outer = try claimedComment(in: source, endingBefore: endRecord) {
            return ArchiveRefusal(.comment, "an archive has no comment", at: outer + 20)
        }
        if count >= 4 {
            let start = try source.header(at: directoryEnd - count, count: 4)
            guard start.u32(0) != RecordSignature.directoryHeader else {
                return ArchiveRefusal(.surplus, "nothing stands before the archive", at: 0)
            }
        }
        return ArchiveRefusal(
            .surplus, "nothing stands between the directory and the end record", at: end)
    }

    private static func diagnosis(of source: some ArchiveSource) throws -> ArchiveRefusal {
        let size = source.byteCount
        let head = try source.header(at: 0, count: min(4, size))
        let first: [UInt8] = [0x50, 0x4b, 0x03, 0x04]
        guard head.count == 4 else {
            return first.starts(with: head.bytes)
                ? ArchiveRefusal(.truncated, "the archive is cut off", at: size)
                : ArchiveRefusal(.notZip, "a part is a ZIP archive", at: 0)
        }
        if let position = try claimedComment(in: source, endingBefore: size) {
            return ArchiveRefusal(.comment, "an archive has no comment", at: position + 20)
        }
        if let end = try earlierEnd(in: source) {
            return ArchiveRefusal(.surplus, "nothing follows the end record", at: end)
        }
        guard
            head.bytes == first || head.u32(0) == RecordSignature.endRecord
        else { return ArchiveRefusal(.notZip, "a part is a ZIP archive", at: 0) }
        return ArchiveRefusal(.truncated, "the archive ends with its end record", at: size)
    }

    /// The place of an end record before `limit` whose comment reaches to the end exactly.
    private static func claimedComment(
        in source: some ArchiveSource, endingBefore limit: Int
    ) throws -> Int? {
        // The tail is searched only in an archive that is refused in any case.
        try positions(in: source, before: limit) { tail, index in
            let comment = tail.u16(index + 20)
            return comment > 0
                && tail.start + index + RecordLength.endRecord + comment == source.byteCount
        }
    }

    /// The first byte after an end record that stands behind its directory, before the end.
    private static func earlierEnd(in source: some ArchiveSource) throws -> Int? {
        let position = try positions(in: source, before: source.byteCount) { tail, index in
            let end = UInt64(tail.u32(index + 12)) + UInt64(tail.u32(index + 16))
            let distance = Int64(tail.start + index) - Int64(end)
            let zip64 = RecordLength.zip64EndRecord + RecordLength.zip64Locator
            return distance == 0 || distance == Int64(zip64)
        }
        return position.map { $0 + RecordLength.endRecord }
    }

    private static func positions(
        in source: some ArchiveSource, before limit: Int,
        where isWanted: (HeaderBytes, Int) -> Bool
    ) throws -> Int? {
        let count = min(source.byteCount, tailCountMax)
        let tail = try source.header(at: source.byteCount - count, count: count)
        var index = min(limit - tail.start - 1, count - RecordLength.endRecord)
        while index >= 0 {
            if tail.bytes[index] == 0x50, tail.u32(index) == RecordSignature.endRecord,
                isWanted(tail, index)
            {
                return tail.start + index
            }
            index -= 1
        }
        return nil
    }
}
