import Crypto
import Testing
import WaybillModel

@testable import WaybillStore

@Suite struct ReceiptFoldingTests {
    private func note(
        _ index: Int, _ outcome: Outcome = .duplicate, _ code: RejectionCode? = nil
    ) -> ExceptionNote {
        ExceptionNote(
            index: index, id: TransactionID(high: 1, low: UInt64(index)), outcome: outcome,
            code: code, detail: code == nil ? nil : "words")
    }

    /// The length of the receipt's text.
    private func byteCount(_ exceptions: [ReceiptException]) throws -> Int {
        let content = ReceiptContent(
            deviceID: .random(), bundleID: .random(), bundleDigest: .zero, state: .settled,
            settledAt: .now, counts: OutcomeCounts(duplicate: 1), exceptions: exceptions)
        let signer = ReceiptSigner(keyID: "k1", key: Curve25519.Signing.PrivateKey())
        return try signer.sign(content, sequence: 1, previous: .zero).document.utf8.count
    }

    /// CONTRACT, Receipt: `{"from":0,"count":99999,"outcome":"duplicate"}`.
    @Test func aHundredThousandDuplicatesAreOneShortLine() throws {
        let folded = ReceiptFolding.fold((0..<99_999).map { note($0) })
        #expect(folded == [.run(from: 0, count: 99_999, outcome: .duplicate, code: nil)])
        #expect(try byteCount(folded) < 1000)
    }

    @Test func fewNeighboursKeepTheirIDsAndManyAreFolded() {
        let few = ReceiptFolding.runLengthMin - 1
        #expect(ReceiptFolding.fold((0..<few).map { note($0) }).count == few)
        #expect(ReceiptFolding.fold((0...few).map { note($0) }).count == 1)
    }

    @Test func aRunHasOneOutcomeAndOneCodeAndNoGap() {
        let runs: [(Range<Int>, Outcome, RejectionCode?)] = [
            (0..<40, .duplicate, nil), (41..<81, .duplicate, nil), (81..<121, .conflict, nil),
            (121..<161, .rejected, .invalidJSON), (161..<201, .rejected, .tooLong),
        ]
        let notes = runs.flatMap { run in run.0.map { note($0, run.1, run.2) } }
        #expect(
            ReceiptFolding.fold(notes.shuffled())
                == runs.map {
                    .run(
                        from: $0.0.lowerBound, count: $0.0.count, outcome: $0.1,
                        code: $0.2?.rawValue)
                })
    }

    @Test func aReceiptStaysWithinAPageAsLongAsFoldingHelps() throws {
        // Runs too short to be folded for their own sake, and an accepted one after each.
        for length in [2, 3, 7, 31] {
            let notes = (0..<60_000).filter { $0 % (length + 1) != length }.map { note($0) }
            let folded = ReceiptFolding.fold(notes)
            #expect(try byteCount(folded) < 1 << 20, "runs of \(length)")
            let told = folded.reduce(0) { sum, exception in
                if case .run(_, let count, _, _) = exception { sum + count } else { sum + 1 }
            }
            #expect(told == notes.count)
        }
        // Every other transaction of 20,000: without their ids.
        let notes = stride(from: 0, to: 40_000, by: 2).map { note($0) }
        #expect(try byteCount(ReceiptFolding.fold(notes)) < 1 << 20)
    }
}
