import ArchiveTesting
import Testing

@testable import WaybillOpening
@testable import WaybillSealing

/// Parts whose structure is sound and whose content is not: BAD-INPUTS.md, "Archive", **Q**.
///
/// Each says its quarantine code and, for the audit, why.
@Suite struct BadContentTests {
    private let text = Array("one line\nanother line\nanother line\n".utf8)

    /// What opening the whole part said; nil if it opened.
    private func failure(
        _ bytes: [UInt8], password: [UInt8] = Sample.password, keys: PartKeys? = nil
    ) throws -> String? {
        do {
            _ = try Sample.open(bytes, password: password, keys: keys)
            return nil
        } catch let error as OpeningError {
            #expect(!error.isRetryable && !error.isFatal)
            return "\(error.shortDescription): \(error)"
        }
    }

    private static func cannotOpen(_ words: String) -> String {
        "cannot_open: the part cannot be opened: \(words)"
    }

    private static let wrongPassword = cannotOpen("the password does not fit")
    private static let wrongCode = cannotOpen("the authentication code does not fit")
    private static let limit = "limit_unzipped: the entry is larger than declared or allowed"

    @Test func wrongPassword() throws {
        let part = try PartSealer.seal(text, password: Sample.password)
        #expect(try failure(part, password: [1]) == Self.wrongPassword)
    }

    /// Found by trying: the two verify alike under this salt, as one in 65,536 does.
    @Test func aWrongPasswordThatPassesTheVerifier() throws {
        let wrong = Array("wrong 19224".utf8)
        let salt = [UInt8](0..<16)
        let keys = PartKeys.derive([
            (password: Sample.password, salt: salt), (password: wrong, salt: salt),
        ])
        #expect(keys[0].verifier == keys[1].verifier)
        let part = try PartSealer.seal(text, password: Sample.password, salt: salt)
        #expect(try failure(part) == nil)
        #expect(try failure(part, password: wrong) == Self.wrongCode)
    }

    @Test func oneBitOfTheSalt() throws {
        let part = try PartSealer.seal(text, password: Sample.password)
        for bit in 0..<8 * 16 {
            let failure = try failure(part.flipping(bit, after: PatchedPart.dataStart))
            #expect(failure == Self.wrongPassword || failure == Self.wrongCode)
        }
    }

    @Test func oneBitOfTheVerifier() throws {
        try expectEachBit(from: 16, count: 2, Self.wrongPassword)
    }

    @Test func oneBitOfTheCiphertext() throws {
        try expectEachBit(from: 18, count: text.count, Self.wrongCode)
    }

    @Test func oneBitOfTheAuthenticationCode() throws {
        try expectEachBit(from: 18 + text.count, count: 10, Self.wrongCode)
    }

    private func expectEachBit(from start: Int, count: Int, _ expected: String) throws {
        let part = try PartSealer.seal(
            text, password: Sample.password, method: .stored, salt: [UInt8](0..<16))
        let keys = PartKeys.derive(password: Sample.password, salt: [UInt8](0..<16))
        #expect(try failure(part, keys: keys) == nil)
        for bit in 0..<8 * count {
            let bytes = part.flipping(bit, after: PatchedPart.dataStart + start)
            #expect(try failure(bytes, keys: keys) == expected, "bit \(bit)")
        }
    }

    @Test func rewrittenAsEmpty() throws {
        let part = try PatchedPart(text)
        let start = PatchedPart.dataStart
        var empty = try PatchedPart([], method: .stored)
        empty.bytes.replaceSubrange(start..<start + 18, with: part.bytes[start..<start + 18])
        #expect(try failure(empty.bytes) == Self.wrongCode)
    }

    /// Whether the declared size is left as it was, smaller than the ciphertext or larger, or mended.
    @Test func methodChangedFromDeflatedToStored() throws {
        let repeated = Array(String(repeating: "a line\n", count: 99).utf8)
        var part = try PatchedPart(repeated)
        part.set16(0, local: 52, directory: 68)
        #expect(
            try failure(part.bytes) == Self.cannotOpen("the entry is smaller than declared"))
        part.setDeclared(3)
        #expect(try failure(part.bytes) == Self.limit)
        part.setDeclared(try Deflater.deflate(repeated).count)
        let opener = try Sample.opener(part.bytes)
        let reader = LineReader(
            opener: opener, binding: Sample.binding, limits: OpeningLimits(),
            hasher: Sample.hasher)
        let error = #expect(throws: OpeningError.self) {
            try reader.next(maxLines: 1, maxBytes: 1)
        }
        #expect(error?.shortDescription == "header_invalid")
    }

    /// Declared 10 bytes, inflates to 5 MB: stopped at byte 11, with one piece of it read.
    @Test func declaredTenBytesInflatesToMegabytes() throws {
        var random = SeededGenerator(seed: 5)
        let entry = (0..<5_000_000).map { _ in UInt8(random.below(256)) }
        var part = try PatchedPart(entry)
        part.setDeclared(10)
        let source = CountingSource(part.bytes)
        let opener = try PartOpener(
            source: source,
            layout: try ArchiveStructure.check(source, limits: ArchiveCases.limits),
            password: Sample.password, limits: OpeningLimits())
        let authenticated = source.readByteCount
        #expect(throws: OpeningError.self) { try opener.read(upTo: 1 << 20) }
        #expect(opener.byteCount == 0, "nothing of it is handed out")
        #expect(source.readByteCount - authenticated <= 256 << 10)
        #expect(throws: OpeningError.self) { try opener.read(upTo: 1) }
        #expect(try failure(part.bytes) == Self.limit)
    }

    @Test func declaredSmallerOrLargerThanItIs() throws {
        var part = try PatchedPart(text)
        part.setDeclared(text.count + 1)
        #expect(
            try failure(part.bytes) == Self.cannotOpen("the entry is smaller than declared"))
        part.setDeclared(text.count - 1)
        #expect(try failure(part.bytes) == Self.limit)
    }

    @Test func deflateCorrupt() throws {
        let part = try PatchedPart(packed: [0xff, 0xff, 0xff], declared: 10)
        #expect(try failure(part.bytes) == Self.cannotOpen("the deflate stream is damaged"))
    }

    @Test func deflateUnfinished() throws {
        let packed = try Deflater.deflate(text)
        for count in packed.indices {
            let part = try PatchedPart(packed: Array(packed[..<count]), declared: text.count)
            #expect(
                try failure(part.bytes) == Self.cannotOpen("the deflate stream is not finished"))
        }
    }

    @Test func deflateWithBytesAfterItsEnd() throws {
        for surplus in [[0], [UInt8](repeating: 1, count: 300_000)] {
            let packed = try Deflater.deflate(text) + surplus
            let part = try PatchedPart(packed: packed, declared: text.count)
            #expect(try failure(part.bytes) == Self.cannotOpen("bytes follow the deflate stream"))
        }
    }

    @Test func aE1WithAWrongCRC() throws {
        var part = try PatchedPart(Array("123456789".utf8))
        part.setVersion(1, crc: 0xcbf4_3926)
        #expect(try failure(part.bytes) == nil)
        part.setVersion(1, crc: 0xcbf4_3927)
        #expect(try failure(part.bytes) == Self.cannotOpen("the CRC does not fit"))
        part.setVersion(2, crc: 0xcbf4_3927)
        #expect(try failure(part.bytes) == nil, "the CRC of AE-2 says nothing")
    }
}

extension [UInt8] {
    /// One bit flipped, counted from a byte on.
    fileprivate func flipping(_ bit: Int, after start: Int) -> [UInt8] {
        var bytes = self
        bytes[start + bit / 8] ^= 1 << UInt8(bit % 8)
        return bytes
    }
}
