import Testing

@testable import WaybillSealing

@Suite struct ArchiveStructureTests {
    static let limits = ArchiveLimits(partUnzippedBytesMax: 256 << 20, ratioMax: 200)

    static func code(of bytes: [UInt8], limits: ArchiveLimits = limits) throws -> ArchiveCode? {
        do {
            _ = try ArchiveStructure.check(MemorySource(bytes[...]), limits: limits)
            return nil
        } catch let refusal as ArchiveRefusal {
            #expect((0...bytes.count).contains(refusal.offset))
            #expect(!refusal.rule.isEmpty)
            return refusal.code
        }
    }

    @Test(arguments: ArchiveCases.ends + ArchiveCases.entries + ArchiveCases.encryption)
    func refusesWithItsCode(example: ArchiveCase) throws {
        #expect(try Self.code(of: example.bytes) == example.code)
    }

    @Test(arguments: ArchiveCases.accepted)
    func accepts(example: ArchiveCase) throws {
        #expect(try Self.code(of: example.bytes) == nil)
    }

    @Test func refusesEachCutAsTruncatedOrNoZip() throws {
        let whole = ArchiveForge().bytes()
        for count in 1..<whole.count {
            let code = try Self.code(of: Array(whole[..<count]))
            #expect(code == .truncated, "cut to \(count) bytes")
        }
    }

    @Test func saysWhereThePiecesLie() throws {
        let archive = try PartSealer.seal(Array("hello".utf8), password: [1], method: .stored)
        let layout = try ArchiveStructure.check(MemorySource(archive[...]), limits: Self.limits)
        #expect(
            layout
                == ArchiveLayout(
                    saltOffset: 54, ciphertextCount: 5, method: .stored, declaredByteCount: 5,
                    crc32: 0, encryptionVersion: 2))
        #expect(layout.authenticationCodeOffset == 77)
    }

    @Test(arguments: [(-1, ArchiveCode?.none), (0, nil), (1, .limit)])
    func keepsTheLimitOfTheEntry(distance: Int, code: ArchiveCode?) throws {
        let bytes = ArchiveForge.changed { $0.unzipped = UInt32(1000 + distance) }
        let limits = ArchiveLimits(partUnzippedBytesMax: 1000, ratioMax: 200)
        #expect(try Self.code(of: bytes, limits: limits) == code)
    }

    @Test(arguments: [(-1, ArchiveCode?.none), (0, nil), (1, .limit)])
    func keepsTheRatioPastTheFirstMebibyte(distance: Int, code: ArchiveCode?) throws {
        let small = ArchiveForge.changed {
            $0.unzipped = UInt32(ArchiveLimits.unzippedBytesFree + distance)
        }
        #expect(try Self.code(of: small) == code)
        let large = ArchiveForge.changed {
            $0.data = [UInt8](repeating: 1, count: 10_000)
            $0.unzipped = UInt32(2_000_000 + distance)
        }
        #expect(try Self.code(of: large) == code)
    }

    @Test func readsHeadersOnly() throws {
        let source = CountingSource(
            try PartSealer.seal(
                [UInt8](repeating: 1, count: 1 << 20), password: [1], method: .stored))
        _ = try ArchiveStructure.check(source, limits: Self.limits)
        #expect(source.log.byteCount < 512)
        #expect(source.log.readCount <= 8)
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

    @Test func neverCrashesOnMutations() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededGenerator(seed: seed)
        let originals = (ArchiveCases.accepted + ArchiveCases.ends).map(\.bytes)
            .filter { (1..<5000).contains($0.count) }
        for _ in 0..<4000 {
            var bytes = originals[Int.random(in: 0..<originals.count, using: &random)]
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let position = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0:
                    bytes[position] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &random) ?? 0
                case 1: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: position)
                default: if bytes.count > 1 { bytes.remove(at: position) }
                }
            }
            let example = bytes
            #expect(throws: Never.self, "seed \(seed)") { _ = try Self.code(of: example) }
        }
    }
}

/// Counts what is read of it.
private struct CountingSource: ArchiveSource {
    final class Log {
        var byteCount = 0
        var readCount = 0
    }

    let memory: MemorySource
    let log = Log()

    init(_ bytes: [UInt8]) {
        memory = MemorySource(bytes[...])
    }

    var byteCount: Int { memory.byteCount }

    func read(at offset: Int, count: Int) -> [UInt8] {
        log.byteCount += count
        log.readCount += 1
        return memory.read(at: offset, count: count)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed gives the same numbers.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
