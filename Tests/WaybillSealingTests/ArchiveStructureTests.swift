import ArchiveTesting
import Testing

@testable import WaybillSealing

@Suite struct ArchiveStructureTests {
    static let limits = ArchiveCases.limits

    static func refusal(
        of bytes: [UInt8], limits: ArchiveLimits = limits
    ) throws -> ArchiveRefusal? {
        let source = CountingSource(bytes)
        // A few records, or the 64 KiB in which an end record may stand: no input costs more.
        defer {
            #expect(source.readCount <= 10)
            #expect(source.readByteCount <= 4 * 65_536)
        }
        do {
            _ = try ArchiveStructure.check(source, limits: limits)
            return nil
        } catch let refusal as ArchiveRefusal {
            #expect((0...bytes.count).contains(refusal.offset))
            #expect(refusal.description == "\(refusal.rule) (byte \(refusal.offset))")
            return refusal
        }
    }

    private func codeSaid(of bytes: [UInt8], limits: ArchiveLimits = limits) throws -> ArchiveCode?
    {
        try Self.refusal(of: bytes, limits: limits)?.code
    }

    @Test(arguments: ArchiveCases.refused)
    func refusesWithCodeRuleAndByte(example: ArchiveCase) throws {
        #expect(try Self.refusal(of: example.bytes) == example.refusal)
    }

    @Test(arguments: ArchiveCases.accepted)
    func accepts(example: ArchiveCase) throws {
        #expect(try Self.refusal(of: example.bytes) == nil)
    }

    @Test func provesEveryCode() {
        #expect(
            Set(ArchiveCases.refused.compactMap(\.refusal?.code)).union([.truncated])
                == Set(ArchiveCode.allCases))
    }

    /// A field of the end record, or of the zip64 pair before it, is changed: that very byte is told.
    @Test(arguments: [
        // This disk, the directory's, entries on this disk, all entries, the directory's length and
        // offset, the comment's length.
        (false, [4, 6, 8, 10, 12, 16, 20]),
        // The end record begins at 76 here and agrees with the pair or refers to it; before it lie
        // the locator from 56 on (disk, place, disks) and the record (its length, disk, the
        // directory's, entries on this disk, all entries, the directory's length and offset).
        (true, [0, 4, 16, 20, 24, 32, 40, 48, 60, 64, 72, 80, 82, 84, 86, 88, 92, 96]),
    ]) func tellsTheFieldOfTheEndRecordsThatIsWrong(isWide: Bool, fields: [Int]) throws {
        let archive = ArchiveForge.changed {
            guard isWide else { return }
            $0.zip64 = { ArchiveForge.zip64End(offset: $0, count: $1) }
        }
        for field in fields {
            var bytes = archive
            let start = archive.count - (isWide ? 98 : 22)
            bytes[start + field] += field == 72 ? 2 : 1
            if isWide, (16..<56).contains(field) {
                // Else the end record's own field is the first that disagrees.
                for index in archive.count - 18..<archive.count - 2 { bytes[index] = 0xff }
            }
            let refusal = try #require(try Self.refusal(of: bytes), "field \(field)")
            #expect(refusal.offset == start + field, "field \(field): \(refusal)")
        }
    }

    /// Cut at every 64th of its length, and at each byte of a short one.
    @Test func refusesEachCutAsTruncated() throws {
        let short = ArchiveForge().bytes()
        let long = try PartSealer.seal(
            (0..<100_000).map { UInt8(truncatingIfNeeded: $0 * $0 >> 3) }, password: [1])
        let cuts = (1..<64).map { Array(long[..<(long.count * $0 / 64)]) }
        for cut in cuts + (1..<short.count).map({ Array(short[..<$0]) }) {
            let refusal = try #require(try Self.refusal(of: cut), "cut to \(cut.count) bytes")
            #expect(refusal.code == .truncated)
            #expect(refusal.offset == cut.count)
        }
    }

    /// 65,535 entries, all of them there: told from the end record, without a key.
    @Test func refusesManyEntriesFromTheEndRecordAlone() throws {
        let source = CountingSource(ArchiveCases.manyEntries)
        #expect(
            throws: ArchiveRefusal(
                .entries, "an archive has exactly one entry", at: source.byteCount - 14)
        ) { try ArchiveStructure.check(source, limits: Self.limits) }
        #expect(source.readByteCount < 100)
    }

    @Test func saysWhereThePiecesLie() throws {
        let archive = try PartSealer.seal(Array("hello".utf8), password: [1], method: .stored)
        let layout = try ArchiveStructure.check(MemorySource(archive[...]), limits: Self.limits)
        #expect(
            layout
                == ArchiveLayout(
                    saltOffset: 54, ciphertextCount: 5, method: .stored, declaredByteCount: 5,
                    crc32: 0, encryptionVersion: 2, directoryOffset: 87))
        #expect(layout.authenticationCodeOffset == 77)
    }

    @Test(arguments: [(-1, ArchiveCode?.none), (0, nil), (1, .limit)])
    func keepsTheLimitOfTheEntry(distance: Int, code: ArchiveCode?) throws {
        let bytes = ArchiveForge.changed { $0.unzipped = UInt32(1000 + distance) }
        let limits = ArchiveLimits(partUnzippedBytesMax: 1000, ratioMax: 200)
        #expect(try codeSaid(of: bytes, limits: limits) == code)
    }

    @Test(arguments: [(-1, ArchiveCode?.none), (0, nil), (1, .limit)])
    func keepsTheRatioPastTheFirstMebibyte(distance: Int, code: ArchiveCode?) throws {
        let small = ArchiveForge.changed {
            $0.unzipped = UInt32(ArchiveLimits.unzippedBytesFree + distance)
        }
        #expect(try codeSaid(of: small) == code)
        let large = ArchiveForge.changed {
            $0.data = [UInt8](repeating: 1, count: 10_000)
            $0.unzipped = UInt32(2_000_000 + distance)
        }
        #expect(try codeSaid(of: large) == code)
    }

    @Test func readsHeadersOnly() throws {
        let source = CountingSource(
            try PartSealer.seal(
                [UInt8](repeating: 1, count: 1 << 20), password: [1], method: .stored))
        _ = try ArchiveStructure.check(source, limits: Self.limits)
        #expect(source.readByteCount < 512)
        #expect(source.readCount <= 8)
    }

    @Test func throwsWhatTheSourceThrows() {
        struct Broken: Error {}
        struct BrokenSource: ArchiveSource {
            let byteCount = 100
            func read(at offset: Int, count: Int) throws -> [UInt8] { throw Broken() }
        }
        #expect(throws: Broken.self) {
            try ArchiveStructure.check(BrokenSource(), limits: Self.limits)
        }
    }
}
