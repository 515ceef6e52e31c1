/// The zip64 end record, which a locator right before the end record points to.
struct Zip64End {
    /// Where the record begins: the directory ends there.
    let start: Int
    let directoryCount: UInt64
    let directoryOffset: UInt64
    /// What the end record says in its own fields, in their order: this disk, the directory's,
    /// entries on this disk, all entries, the directory's length and offset.
    let fields: [UInt64]

    /// Nil when there is no locator before `endRecord`.
    init?(of source: some ArchiveSource, before endRecord: Int) throws {
        let locatorStart = endRecord - RecordLength.zip64Locator
        guard locatorStart >= 0 else { return nil }
        let locator = try source.header(at: locatorStart, count: RecordLength.zip64Locator)
        guard locator.u32(0) == RecordSignature.zip64Locator else { return nil }
        let recordStart = locatorStart - RecordLength.zip64EndRecord
        guard recordStart >= 0, locator.u64(8) == UInt64(recordStart) else {
            throw ArchiveRefusal(
                .inconsistent, "the zip64 locator points to the record before it",
                at: locatorStart + 8)
        }
        guard locator.u32(4) == 0, locator.u32(16) <= 1 else {
            throw ArchiveRefusal(
                .inconsistent, "an archive lies on one disk",
                at: locatorStart + (locator.u32(4) == 0 ? 16 : 4))
        }
        let record = try source.header(at: recordStart, count: RecordLength.zip64EndRecord)
        let isRecord = record.u32(0) == RecordSignature.zip64EndRecord
        guard isRecord, record.u64(4) == UInt64(RecordLength.zip64EndRecord - 12) else {
            throw ArchiveRefusal(
                .inconsistent, "the zip64 locator points to a zip64 end record",
                at: recordStart + (isRecord ? 4 : 0))
        }
        start = recordStart
        directoryCount = record.u64(40)
        directoryOffset = record.u64(48)
        fields = [
            UInt64(record.u32(16)), UInt64(record.u32(20)), record.u64(24), record.u64(32),
            directoryCount, directoryOffset,
        ]
    }
}
