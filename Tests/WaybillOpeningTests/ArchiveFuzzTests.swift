import ArchiveTesting
import Testing

@testable import WaybillOpening
@testable import WaybillSealing

/// Random archives and parts: no crash, no more reading or memory than the format needs, nothing
/// taken on which libzip disagrees, nothing opened that is not authentic.
@Suite struct ArchiveFuzzTests {
    /// What checking an input came to, for the proof that both outcomes were met.
    private enum Outcome { case accepted, refused }

    @Test func libzipAgreesOnWhateverTheStructureCheckAccepts() {
        let run = FuzzRun("archives", inputCount: 20_000)
        var accepted = 0
        run.run { seed in
            var mutator = ArchiveMutator(seed: seed)
            let source = CountingSource(mutator.archive())
            let problem: String?
            do {
                let layout = try ArchiveStructure.check(source, limits: ArchiveCases.limits)
                accepted += 1
                problem = Self.flaw(of: layout, in: source)
            } catch let refusal as ArchiveRefusal {
                let isInside = (0...source.byteCount).contains(refusal.offset)
                problem = isInside && !refusal.rule.isEmpty ? nil : "refused as \(refusal)"
            } catch {
                problem = "\(error)"
            }
            return Self.report(problem ?? Self.excess(source), seed)
        }
        if run.inputCount >= 1000 { #expect(accepted > run.inputCount / 50) }
    }

    private static func flaw(of layout: ArchiveLayout, in source: CountingSource) -> String? {
        guard layout.ciphertextCount >= 0, layout.saltOffset >= 30,
            layout.dataEnd <= layout.directoryOffset, layout.directoryOffset < source.byteCount
        else { return "a layout out of bounds" }
        do throws(OpeningError) {
            try SecondOpinion.ask(on: source, layout)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Some records and twice the 64 KiB of an end's search or of an extra area.
    private static func excess(_ source: CountingSource) -> String? {
        source.readCount <= 12 && source.readByteCount <= 5 * 65_536
            ? nil : "\(source.readCount) reads of \(source.readByteCount) bytes"
    }

    private static func report(_ problem: String?, _ seed: UInt64) -> Bool {
        if let problem { Issue.record("WAYBILL_TEST_SEED=\(seed): \(problem)") }
        return problem == nil
    }

    private static let entry = Sample.entry((0..<20).map { Sample.line($0) })

    /// Damage anywhere in a sealed part.
    @Test func whatOpensHasAnIntactAuthenticationCode() throws {
        let run = FuzzRun("damaged parts", inputCount: 10_000)
        let packed = try Deflater.deflate(Self.entry)
        let sound = try [
            QuickSeal.part(packed, method: .deflated, declared: Self.entry.count),
            QuickSeal.part(Self.entry, method: .stored, declared: Self.entry.count),
            QuickSeal.part([], method: .stored, declared: 0),
        ]
        var opened = 0
        run.run { seed in
            var mutator = ArchiveMutator(seed: seed)
            var bytes = mutator.random.pick(sound)
            if mutator.random.once(in: 2) {
                mutator.damage(&bytes)
            } else {
                let position = 54 + mutator.random.below(bytes.count - 54 - 92)
                bytes[position] ^= UInt8(mutator.random.below(256))
            }
            guard case .accepted = Self.open(bytes, &mutator.random, seed) else { return true }
            opened += 1
            return Self.report(Self.forgery(bytes), seed)
        }
        if run.inputCount >= 1000 { #expect(opened > 0) }
    }

    /// Deflate streams that are damaged under an intact authentication code.
    @Test func noDeflateStreamGivesMoreThanItDeclares() throws {
        let run = FuzzRun("deflate streams", inputCount: 2000)
        let streams = try [[], Self.entry, [UInt8](repeating: 65, count: 70_000)].map {
            (packed: try Deflater.deflate($0), count: $0.count)
        }
        try run.run { seed in
            var random = SeededGenerator(seed: seed)
            let stream = random.pick(streams)
            var packed = stream.packed
            for _ in 0..<random.below(4) {
                let position = random.below(packed.count)
                switch random.below(4) {
                case 0: packed[position] ^= 1 << UInt8(random.below(8))
                case 1: packed[position] = UInt8(random.below(256))
                case 2: packed.append(UInt8(random.below(256)))
                default: if packed.count > 1 { packed.removeLast() }
                }
            }
            let declared = max(0, stream.count + random.pick([0, 0, 0, -1, 1, 500]))
            let part = try QuickSeal.part(packed, method: .deflated, declared: declared)
            return Self.open(part, &random, seed) != nil
        }
    }

    /// Reads a part in pieces; nil when something is wrong.
    private static func open(
        _ bytes: [UInt8], _ random: inout SeededGenerator, _ seed: UInt64
    ) -> Outcome? {
        let source = CountingSource(bytes)
        var outcome = Outcome.accepted
        var declared = 0
        var given = 0
        do {
            declared = try ArchiveStructure.check(source, limits: ArchiveCases.limits)
                .declaredByteCount
            let opener = try QuickSeal.opener(source)
            let pieceCount = random.pick([10 + random.below(1000), 4096, 1 << 20])
            while true {
                let piece = try opener.read(upTo: pieceCount)
                given += piece.count
                guard !piece.isEmpty, given <= declared else { break }
            }
            if given != declared { outcome = .refused }
        } catch is ArchiveRefusal {
            outcome = .refused
        } catch let error as OpeningError where !error.isRetryable {
            outcome = .refused
        } catch {
            return report("\(error)", seed) ? .refused : nil
        }
        let readMax = 2 * bytes.count + 6 * 65_536
        let problem =
            given > declared
            ? "\(given) bytes of \(declared)"
            : source.readByteCount > readMax || source.readCount > 40 ? excess(source) : nil
        return report(problem, seed) ? outcome : nil
    }

    /// What is wrong with a part that opened under the shared keys.
    private static func forgery(_ bytes: [UInt8]) -> String? {
        guard
            let layout = try? ArchiveStructure.check(
                MemorySource(bytes[...]), limits: ArchiveCases.limits)
        else { return "it opened in spite of its structure" }
        let ciphertext = Array(bytes[layout.ciphertextOffset..<layout.authenticationCodeOffset])
        return QuickSeal.code(of: ciphertext)
            == Array(bytes[layout.authenticationCodeOffset..<layout.dataEnd])
            ? nil : "it opened in spite of its authentication code"
    }
}
