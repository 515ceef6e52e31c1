import ArchiveTesting
import Testing

@testable import WaybillOpening
@testable import WaybillSealing

@Suite struct PartOpenerTests {
    private let text = Array("one line\nanother line\nanother line\n".utf8)

    /// What opening said: the error's code, nil if it opened.
    private func code(
        _ bytes: [UInt8], password: [UInt8] = Sample.password, keys: PartKeys? = nil,
        limits: OpeningLimits = OpeningLimits()
    ) throws -> String? {
        do {
            _ = try Sample.open(bytes, password: password, keys: keys, limits: limits)
            return nil
        } catch let error as OpeningError {
            #expect(!error.isRetryable && !error.isFatal && !error.description.isEmpty)
            return error.shortDescription
        }
    }

    @Test(
        arguments: CompressionMethod.allCases,
        [0, 1, 15, 16, 17, 4095, 65_536, 262_144, 262_145, 600_001])
    func givesBackWhatWasSealed(method: CompressionMethod, count: Int) throws {
        var random = SeededGenerator(seed: UInt64(count))
        let entry = (0..<count).map { _ in UInt8.random(in: 0...15, using: &random) }
        let archive = try PartSealer.seal(entry, password: Sample.password, method: method)
        #expect(try Sample.open(archive, pieceCount: count < 5000 ? 7 : 50_000) == entry)
    }

    @Test func stretchesThePasswordAsSwiftCryptoDoes() throws {
        let password = [UInt8](repeating: 3, count: 100)
        let archive = try PartSealer.seal(text, password: password)
        #expect(try Sample.open(archive, password: password) == text)
        #expect(try code(archive, password: password.dropLast()) == "cannot_open")
    }

    @Test func takesKeysThatWereDerivedBefore() throws {
        let archive = try PartSealer.seal(text, password: Sample.password)
        let salt = Array(archive[PatchedPart.dataStart..<PatchedPart.dataStart + 16])
        let keys = PartKeys.derive([
            (password: [1], salt: salt), (password: Sample.password, salt: salt),
        ])
        #expect(try Sample.open(archive, password: [], keys: keys[1]) == text)
        #expect(try code(archive, keys: keys[0]) == "cannot_open")
    }

    @Test func neverAcceptsOtherContentWhateverByteIsFlipped() throws {
        let archive = try PartSealer.seal(text, password: Sample.password)
        for index in archive.indices {
            for mask: UInt8 in [1, 0x80, 0xff] {
                var bytes = archive
                bytes[index] ^= mask
                do {
                    let entry = try Sample.open(bytes)
                    #expect(entry == text, "byte \(index)")
                    let isData = (PatchedPart.dataStart..<archive.count - 92).contains(index)
                    #expect(!isData, "byte \(index) is authenticated")
                } catch is ArchiveRefusal {
                } catch is OpeningError {}
            }
        }
    }

    @Test func opensNoCut() throws {
        let archive = try PartSealer.seal(text, password: Sample.password)
        for count in archive.indices {
            #expect(throws: ArchiveRefusal.self) { try Sample.open(Array(archive[..<count])) }
        }
    }

    @Test(arguments: [(-1, String?("limit_unzipped")), (0, nil), (1, nil)])
    func keepsTheLimitOfInflatedBytes(distance: Int, expected: String?) throws {
        let archive = try PartSealer.seal(text, password: Sample.password)
        let limits = OpeningLimits(partUnzippedBytesMax: text.count + distance)
        #expect(try code(archive, limits: limits) == expected)
    }

    @Test func saysThatTheSourceFailed() throws {
        struct Broken: Error {}
        struct BrokenSource: ArchiveSource, Sendable {
            let byteCount = 1000
            func read(at offset: Int, count: Int) throws -> [UInt8] { throw Broken() }
        }
        let layout = ArchiveLayout(
            saltOffset: 54, ciphertextCount: 5, method: .stored, declaredByteCount: 5, crc32: 0,
            encryptionVersion: 2, directoryOffset: 87)
        let error = #expect(throws: OpeningError.self) {
            try PartOpener(
                source: BrokenSource(), layout: layout, password: [1], limits: OpeningLimits())
        }
        #expect(try #require(error).isRetryable)
    }
}
