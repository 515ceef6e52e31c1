internal import Crypto
internal import Foundation
internal import Testing
internal import WaybillModel

@testable internal import WaybillCommands

@Suite("Receipts in files")
struct ReceiptBookTests {
    private let signer = ReceiptSigner(keyID: "k1", key: Curve25519.Signing.PrivateKey())

    @Test func acceptsOneReceiptAPageAndAnArray() throws {
        let book = try book()
        let chain = try chain(3)
        let joined = chain.joined(separator: ",")
        #expect(try book.check(documents(chain[0])).line == "receipt 1 is genuine")
        let page = try book.check(
            documents(#"{"receipts":[\#(joined)],"last":3,"safe_through":3}"#))
        #expect(page.verified == 3)
        #expect(page.to == 3)
        #expect(try book.check(documents("[\(joined)]")).verified == 3)
        #expect(try book.check(documents(#"{"receipts":[]}"#)).verified == 0)
    }

    @Test func refusesAReceiptThatWasLeftOut() throws {
        let chain = try chain(3)
        let documents = try documents("[\(chain[0]),\(chain[2])]")
        #expect(throws: ReceiptFault.chainBroken(sequence: 3)) {
            try book().check(documents)
        }
    }

    @Test func refusesAnyChangedCharacterOfTheContent() throws {
        let receipt = try chain(1)[0]
        let changed = receipt.replacingOccurrences(of: #""accepted":1"#, with: #""accepted":2"#)
        #expect(throws: ReceiptFault.hashMismatch) { try book().check(documents(changed)) }
    }

    @Test func refusesAnUnknownKey() throws {
        let receipt = try chain(1)[0]
        let empty = try ReceiptBook(ReceiptKeySet(keys: []))
        #expect(throws: ReceiptFault.unknownKey("k1")) { try empty.check(documents(receipt)) }
    }

    @Test func checksTheVectorOfTheContract() throws {
        let seed = Array(UInt8(0)...31)
        let key = try Curve25519.Signing.PrivateKey(rawRepresentation: seed)
        let book = try ReceiptBook(
            ReceiptKeySet(keys: [
                ReceiptKey(
                    keyID: "k1", publicKey: Base64URL.encode(key.publicKey.rawRepresentation),
                    notBefore: Timestamp(microseconds: 0), notAfter: nil)
            ]))
        let vector = """
            {"bundle_id":"0190163d-8694-739b-aea5-966c26f8ad91",
            "bundle_sha256":"fe8d7a873dc48961a6af334c996b2cb3ce37149d5ce9c9253952a54c6a92c1ad",
            "counts":{"accepted":1,"conflict":0,"duplicate":0,"rejected":0},
            "device_id":"5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0","exceptions":[],"key_id":"k1",
            "previous":"0000000000000000000000000000000000000000000000000000000000000000",
            "seq":1,"settled_at":"2026-11-21T03:00:00.000000Z","state":"settled",
            "hash":"70a2952f24866de816562c4c75e6a9005286f9839a730e2ee14f154bfb083a71",
            "signature":"BWUTenmgQqPm6HHxRBhd-JT1K_qM-GobmwPP9xbV6_XeCRUcH17EPMVs6ZdG1vtwy4ULaC7ynRc5UFBCjcRnBA"}
            """
        #expect(try book.check(documents(vector)).verified == 1)
    }

    private func book() throws -> ReceiptBook {
        try ReceiptBook(
            ReceiptKeySet(keys: [
                ReceiptKey(
                    keyID: "k1", publicKey: Base64URL.encode(signer.publicKey),
                    notBefore: Timestamp(microseconds: 0), notAfter: nil)
            ]))
    }

    private func documents(_ text: String) throws -> [JSONValue] {
        try ReceiptFile.documents(Array(text.utf8))
    }

    private func chain(_ count: Int64) throws -> [String] {
        var previous = Digest256.zero
        let device = DeviceID.random()
        return try (1...count).map { sequence in
            let receipt = try signer.sign(
                ReceiptContent(
                    deviceID: device, bundleID: .random(), bundleDigest: .of([1]), state: .settled,
                    settledAt: .now, counts: OutcomeCounts(accepted: 1)),
                sequence: sequence, previous: previous)
            previous = receipt.hash
            return receipt.document
        }
    }
}
