import Testing

@testable import WaybillSealing

@Suite struct PartSealerTests {
    private let salt = [UInt8](0..<16)

    @Test(arguments: CompressionMethod.allCases, [0, 1, 15, 16, 17, 70_000])
    func makesAWellFormedPart(method: CompressionMethod, count: Int) throws {
        let entry = [UInt8](repeating: 65, count: count)
        let archive = try PartSealer.seal(entry, password: Array("secret".utf8), method: method)
        let layout = try ArchiveStructure.check(
            MemorySource(archive[...]), limits: ArchiveStructureTests.limits)
        #expect(layout.method == method)
        #expect(layout.declaredByteCount == count)
        #expect(layout.encryptionVersion == 2)
        #expect(layout.crc32 == 0)
    }

    @Test func givesTheSameBytesForTheSameSaltAndOthersWithout() throws {
        let entry = Array("entry".utf8)
        let first = try PartSealer.seal(entry, password: [1], salt: salt)
        #expect(try PartSealer.seal(entry, password: [1], salt: salt) == first)
        #expect(try PartSealer.seal(entry, password: [1]) != first)
    }

    @Test func refusesASaltOfAnotherLength() {
        #expect(throws: SealingError.saltLength(8)) {
            try PartSealer.seal([], password: [], salt: [UInt8](repeating: 0, count: 8))
        }
    }
}
