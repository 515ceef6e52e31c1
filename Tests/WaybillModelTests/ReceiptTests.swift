import Crypto
import Foundation
import Testing

@testable import WaybillModel

@Suite struct ReceiptTests {
    let seed = Array(UInt8(0)...31)

    func signer() throws -> ReceiptSigner {
        ReceiptSigner(
            keyID: "k1", key: try Curve25519.Signing.PrivateKey(rawRepresentation: seed))
    }

    func content() throws -> ReceiptContent {
        ReceiptContent(
            deviceID: try #require(DeviceID("5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0")),
            bundleID: try #require(BundleID("0190163d-8694-739b-aea5-966c26f8ad91")),
            bundleDigest: Digest256.ofBundle(parts: [.of("one".utf8)]),
            state: .settled,
            settledAt: try #require(Timestamp(rfc3339: "2026-11-21T03:00:00.000000Z")),
            counts: OutcomeCounts(accepted: 1))
    }

    @Test func bundleDigestsAreThoseOfTheContract() {
        #expect(
            Digest256.ofBundle(parts: [.of("one".utf8), .of("two".utf8)]).description
                == "11914c19a28a98c57d12f3cce6c32b7944784f4b4781a706c24eb1dc284e2856")
        #expect(
            Digest256.ofBundle(parts: [.of("one".utf8)]).description
                == "fe8d7a873dc48961a6af334c996b2cb3ce37149d5ce9c9253952a54c6a92c1ad")
    }

    @Test func signsTheContractsReceiptToTheByte() throws {
        let receipt = try signer().sign(content(), sequence: 1, previous: .zero)
        #expect(
            receipt.hash.description
                == "70a2952f24866de816562c4c75e6a9005286f9839a730e2ee14f154bfb083a71")
        #expect(
            Base64URL.encode(receipt.signature)
                == "BWUTenmgQqPm6HHxRBhd-JT1K_qM-GobmwPP9xbV6_XeCRUcH17EPMVs6ZdG1vtwy4ULaC7ynRc5UFBCjcRnBA"
        )
    }

    @Test func verifiesWhatItSignedAndNothingElse() throws {
        let signer = try signer()
        var content = try content()
        content.detail = "tab\t, quote \", back\\slash, bell \u{7}, umlaut ä"
        content.exceptions = [
            .one(index: 7, id: nil, outcome: .rejected, code: "invalid_json", detail: "x"),
            .run(from: 9, count: 40, outcome: .duplicate, code: nil),
        ]
        let receipt = try signer.sign(content, sequence: 1, previous: .zero)
        let key = try Curve25519.Signing.PublicKey(rawRepresentation: signer.publicKey)
        let value = try JSONDecoder().decode(JSONValue.self, from: Data(receipt.document.utf8))
        let verified = try VerifiedReceipt(value, keys: ["k1": key])
        #expect(verified.hash == receipt.hash)
        #expect(throws: ReceiptFault.unknownKey("k1")) {
            try VerifiedReceipt(value, keys: [:])
        }
        guard case .object(var members) = value else {
            Issue.record("a receipt is an object")
            return
        }
        members["seq"] = .number(2)
        #expect(throws: ReceiptFault.hashMismatch) {
            try VerifiedReceipt(.object(members), keys: ["k1": key])
        }
        members["seq"] = .number(1)
        members["signature"] = .string(Base64URL.encode([UInt8](repeating: 1, count: 64)))
        #expect(throws: ReceiptFault.signatureInvalid) {
            try VerifiedReceipt(.object(members), keys: ["k1": key])
        }
    }

    @Test func noticesABrokenChain() throws {
        let signer = try signer()
        let key = try Curve25519.Signing.PublicKey(rawRepresentation: signer.publicKey)
        var receipts: [VerifiedReceipt] = []
        var last = Digest256.zero
        for sequence in Int64(1)...3 {
            let receipt = try signer.sign(content(), sequence: sequence, previous: last)
            last = receipt.hash
            let value = try JSONDecoder().decode(
                JSONValue.self, from: Data(receipt.document.utf8))
            receipts.append(try VerifiedReceipt(value, keys: ["k1": key]))
        }
        try VerifiedReceipt.checkChain(receipts, after: (0, .zero))
        #expect(throws: ReceiptFault.chainBroken(sequence: 3)) {
            try VerifiedReceipt.checkChain([receipts[0], receipts[2]], after: (0, .zero))
        }
        #expect(throws: ReceiptFault.chainBroken(sequence: 1)) {
            try VerifiedReceipt.checkChain(receipts, after: (0, receipts[0].hash))
        }
    }
}

@Suite struct CanonicalJSONTests {
    /// The number samples of RFC 8785, appendix B, and a few around their borders.
    @Test(arguments: [
        (Double(0), "0"), (-0.0, "0"), (Double.leastNonzeroMagnitude, "5e-324"),
        (-Double.leastNonzeroMagnitude, "-5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9_007_199_254_740_992.0, "9007199254740992"),
        (295_147_905_179_352_830_000.0, "295147905179352830000"), (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (9.999999999999997e22, "9.999999999999997e+22"), (1e23, "1e+23"), (0.000001, "0.000001"),
        (1e-7, "1e-7"), (333_333_333.3333333, "333333333.3333333"), (1.5, "1.5"), (10.0, "10"),
        (0.5, "0.5"), (123.456, "123.456"), (-1.25e-9, "-1.25e-9"),
    ]) func numbersAreWrittenAsECMAScriptDoes(value: Double, text: String) {
        #expect(String(decoding: CanonicalJSON.encode(.number(value)), as: UTF8.self) == text)
    }

    @Test func membersAreSortedByUTF16AndStringsEscapedNoMoreThanNeeded() throws {
        let text =
            #"{"\u20ac":"Euro","\r":"CR","\ufb33":"Dalet","1":"One","\ud83d\ude00":"Smile","\u0080":"C","\u00f6":"o"}"#
        let value = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
        #expect(
            String(decoding: CanonicalJSON.encode(value), as: UTF8.self)
                == "{\"\\r\":\"CR\",\"1\":\"One\",\"\u{80}\":\"C\",\"ö\":\"o\",\"€\":\"Euro\",\"😀\":\"Smile\",\"\u{fb33}\":\"Dalet\"}"
        )
    }
}
