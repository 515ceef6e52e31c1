internal import Crypto
internal import Foundation
internal import WaybillModel

/// Reads the forms in which receipts lie in files.
enum ReceiptFile {
    /// The receipts of a page, of an array, or the one that the file holds.
    static func documents(_ bytes: [UInt8]) throws -> [JSONValue] {
        let value: JSONValue
        do {
            value = try JSONDecoder().decode(JSONValue.self, from: Data(bytes))
        } catch {
            throw CommandFailure(.failed, "the file is not JSON")
        }
        if case .array(let receipts)? = value["receipts"] { return receipts }
        if case .array(let receipts) = value { return receipts }
        return [value]
    }
}

/// Public keys, and what they say of receipts.
struct ReceiptBook {
    private let keys: [String: Curve25519.Signing.PublicKey]

    init(_ set: ReceiptKeySet) throws {
        var keys: [String: Curve25519.Signing.PublicKey] = [:]
        for key in set.keys {
            guard let bytes = Base64URL.decode(key.publicKey), bytes.count == 32 else {
                throw CommandFailure(.failed, "key \(key.keyID) is not 32 bytes in base64url")
            }
            keys[key.keyID] = try Curve25519.Signing.PublicKey(rawRepresentation: bytes)
        }
        self.keys = keys
    }

    /// Hash, signature and members of one receipt.
    func verify(_ document: JSONValue) throws(ReceiptFault) -> VerifiedReceipt {
        try VerifiedReceipt(document, keys: keys)
    }

    /// Each receipt by itself, and that they continue each other.
    ///
    /// The first one's own predecessor is taken on trust unless it is receipt 1.
    func check(_ documents: [JSONValue]) throws(ReceiptFault) -> ReceiptSummary {
        var receipts: [VerifiedReceipt] = []
        for document in documents {
            receipts.append(try verify(document))
        }
        guard let first = receipts.first else { return ReceiptSummary() }
        try VerifiedReceipt.checkChain(
            receipts,
            after: (first.sequence - 1, first.sequence == 1 ? .zero : first.previous))
        return ReceiptSummary(
            verified: receipts.count, from: first.sequence, to: receipts.last?.sequence)
    }
}

/// What was checked and found good.
struct ReceiptSummary: Encodable {
    var verified = 0
    var from: Int64?
    var to: Int64?

    var line: String {
        guard let from, let to else { return "no receipts in the file" }
        return verified == 1
            ? "receipt \(from) is genuine"
            : "receipts \(from) to \(to) are genuine and form one chain"
    }
}
