/// The strict profile of ZIP that a part keeps to (CONTRACT.md, "The sealed bundle").
package enum ArchiveStructure {
    /// Checks all that lies in clear and says where the entry's pieces are.
    ///
    /// Reads the archive's headers only, in a few small pieces; nothing of it needs a password.
    /// Throws an `ArchiveRefusal` for the first rule that is broken, or what the source throws.
    package static func check(
        _ source: some ArchiveSource, limits: ArchiveLimits
    ) throws -> ArchiveLayout {
        guard source.byteCount > 0 else {
            throw ArchiveRefusal(.empty, "a part has bytes", at: 0)
        }
        let end = try EndRecord(of: source)
        let directory = try DirectoryHeader(
            of: source, at: end.directoryOffset, count: end.directoryCount)
        let aes = try directory.check()
        guard directory.sizes.offset < UInt64(end.directoryOffset) else {
            throw ArchiveRefusal(
                .inconsistent, "the entry lies before the directory",
                at: end.directoryOffset + 42)
        }
        guard directory.sizes.offset == 0 else {
            throw ArchiveRefusal(.surplus, "nothing stands before the entry", at: 0)
        }
        let local = try LocalHeader(of: source, limit: end.directoryOffset)
        try local.check(against: directory, aes: aes)
        let zippedCount = try checkSizes(of: directory, limits: limits)
        let (dataEnd, overflow) = local.end.addingReportingOverflow(zippedCount)
        guard !overflow, dataEnd <= end.directoryOffset else {
            throw ArchiveRefusal(
                .inconsistent, "the entry's data ends before the directory",
                at: end.directoryOffset + 20)
        }
        try checkGap(in: source, from: dataEnd, to: end.directoryOffset, directory: directory)
        return ArchiveLayout(
            saltOffset: local.end,
            ciphertextCount: zippedCount - ArchiveLayout.overheadCount,
            method: aes.method,
            declaredByteCount: Int(directory.sizes.unzipped),
            crc32: directory.fields.crc32,
            encryptionVersion: aes.version,
            directoryOffset: end.directoryOffset)
    }

    /// The bytes of the entry's data, after its declared sizes were found to be allowed.
    private static func checkSizes(
        of directory: DirectoryHeader, limits: ArchiveLimits
    ) throws(ArchiveRefusal) -> Int {
        let start = directory.fields.start
        guard directory.sizes.zipped >= UInt64(ArchiveLayout.overheadCount) else {
            throw ArchiveRefusal(
                .inconsistent,
                "an encrypted entry has \(ArchiveLayout.overheadCount) bytes or more",
                at: start + 20)
        }
        let zipped = Int(clamping: directory.sizes.zipped)
        guard directory.sizes.unzipped <= UInt64(limits.unzippedBytesMax(zippedCount: zipped))
        else {
            throw ArchiveRefusal(.limit, "the declared size is within the limits", at: start + 24)
        }
        return zipped
    }

    /// Between the entry's data and the directory stands its data descriptor or nothing.
    private static func checkGap(
        in source: some ArchiveSource, from start: Int, to end: Int, directory: DirectoryHeader
    ) throws {
        guard directory.fields.flags & EntryFlag.descriptor != 0 else {
            guard start == end else {
                throw ArchiveRefusal(
                    .surplus, "nothing stands between the entry and the directory", at: start)
            }
            return
        }
        let count = end - start
        guard count >= 12 else {
            throw ArchiveRefusal(
                .inconsistent, "a data descriptor follows the entry's data", at: start)
        }
        guard [12, 16, 20, 24].contains(count) else {
            throw ArchiveRefusal(
                .surplus, "nothing stands between the data descriptor and the directory",
                at: start + 12)
        }
        let descriptor = try source.header(at: start, count: count)
        let hasSignature = count == 16 || count == 24
        let position = hasSignature ? 4 : 0
        let isWide = count >= 20
        let sizes =
            isWide
            ? [descriptor.u64(position + 4), descriptor.u64(position + 12)]
            : [UInt64(descriptor.u32(position + 4)), UInt64(descriptor.u32(position + 8))]
        guard !hasSignature || descriptor.u32(0) == RecordSignature.dataDescriptor,
            descriptor.u32(position) == directory.fields.crc32,
            sizes == [directory.sizes.zipped, directory.sizes.unzipped]
        else {
            throw ArchiveRefusal(
                .inconsistent, "the data descriptor and the directory agree", at: start)
        }
    }
}
