import ArchiveTesting
import Testing

@testable import WaybillOpening
@testable import WaybillSealing

@Suite struct SecondOpinionTests {
    private func layout(_ bytes: [UInt8]) throws -> ArchiveLayout {
        try ArchiveStructure.check(MemorySource(bytes[...]), limits: ArchiveCases.limits)
    }

    private func objection(_ bytes: [UInt8], _ layout: ArchiveLayout) -> String? {
        do throws(OpeningError) {
            try SecondOpinion.ask(on: MemorySource(bytes[...]), layout)
            return nil
        } catch {
            #expect(error.shortDescription == "cannot_open")
            return "\(error)"
        }
    }

    @Test(arguments: ArchiveCases.accepted)
    func agreesOnWhatIsAccepted(example: ArchiveCase) throws {
        #expect(try objection(example.bytes, layout(example.bytes)) == nil)
    }

    @Test func objectsToAnInconsistentArchive() throws {
        let good = ArchiveForge().bytes()
        let layout = try layout(good)
        var bytes = good
        bytes[bytes.count - 12] = 2
        #expect(objection(bytes, layout)?.contains("libzip refuses the archive: ") == true)
        bytes = good
        bytes[30] = 65
        #expect(objection(bytes, layout)?.contains("libzip refuses the archive: ") == true)
    }

    @Test func objectsToAnotherEntry() throws {
        let bytes = ArchiveForge().bytes()
        let layout = try layout(bytes)
        var other = layout
        other.method = .stored
        #expect(objection(bytes, other)?.contains("libzip sees another entry") == true)
        other = layout
        other.declaredByteCount += 1
        #expect(objection(bytes, other)?.contains("libzip sees another entry") == true)
    }

    @Test func isHeardWhenAPartIsOpenedAndNeverDecidesAuthenticity() throws {
        let part = try PartSealer.seal([65], password: Sample.password, method: .stored)
        var layout = try layout(part)
        layout.declaredByteCount = 2
        let error = #expect(throws: OpeningError.self) {
            try PartOpener(
                source: MemorySource(part[...]), layout: layout, password: Sample.password,
                limits: OpeningLimits())
        }
        #expect(error?.shortDescription == "cannot_open")
        // The same disagreement under a wrong password: the password is what is named.
        let wrong = #expect(throws: OpeningError.self) {
            try PartOpener(
                source: MemorySource(part[...]), layout: layout, password: [1],
                limits: OpeningLimits())
        }
        #expect(wrong.map { "\($0)" } == "the part cannot be opened: the password does not fit")
    }

    @Test func readsTheRecordsOnly() throws {
        let part = try PartSealer.seal(
            [UInt8](repeating: 1, count: 1 << 20), password: [1], method: .stored)
        let source = CountingSource(part)
        try SecondOpinion.ask(on: source, try layout(part))
        #expect(source.readCount == 2)
        #expect(source.readByteCount < 200)
    }

    @Test func saysThatTheSourceFailed() throws {
        struct Broken: Error {}
        struct BrokenSource: ArchiveSource {
            let byteCount = 186
            func read(at offset: Int, count: Int) throws -> [UInt8] { throw Broken() }
        }
        let layout = try layout(ArchiveForge().bytes())
        let error = #expect(throws: OpeningError.self) {
            try SecondOpinion.ask(on: BrokenSource(), layout)
        }
        #expect(try #require(error).isRetryable)
    }
}
