package import Crypto

/// Why a receipt is not to be believed.
package enum ReceiptFault: Error, Sendable, Equatable, CustomStringConvertible {
    /// A member that the contract names is missing or has another type.
    case malformed(member: String)
    /// The hash is not that of the canonical form.
    case hashMismatch
    /// No key of that id was given.
    case unknownKey(String)
    /// The signature was not made by that key over that hash.
    case signatureInvalid
    /// `previous` is not the hash of the receipt before.
    case chainBroken(sequence: Int64)

    package var description: String {
        switch self {
        case .malformed(let member): "member \(member) is missing or has the wrong type"
        case .hashMismatch: "the hash is not that of the receipt's canonical form"
        case .unknownKey(let id): "no public key \(id)"
        case .signatureInvalid: "the signature does not belong to the key and the hash"
        case .chainBroken(let sequence):
            "receipt \(sequence) does not continue the receipt before it"
        }
    }
}

/// A receipt whose hash and signature were found good.
package struct VerifiedReceipt: Sendable {
    package let sequence: Int64
    package let hash: Digest256
    package let previous: Digest256
    package let document: JSONValue

    package var state: String { document["state"]?.text ?? "" }
    package var bundleID: BundleID? { document["bundle_id"]?.text.flatMap { BundleID($0) } }
    package var counts: OutcomeCounts? {
        guard let counts = document["counts"] else { return nil }
        func number(_ name: String) -> Int { Int(counts[name]?.integer ?? 0) }
        return OutcomeCounts(
            accepted: number("accepted"), duplicate: number("duplicate"),
            rejected: number("rejected"), conflict: number("conflict"))
    }

    /// Checks hash and signature, over all members, also those this version does not know.
    ///
    /// - Parameter keys: public keys (32 bytes, Ed25519) by their id.
    package init(
        _ document: JSONValue, keys: [String: Curve25519.Signing.PublicKey]
    ) throws(ReceiptFault) {
        guard case .object(var members) = document else { throw .malformed(member: "(receipt)") }
        guard let hash = members["hash"]?.text.flatMap({ Digest256(hexadecimal: $0) }) else {
            throw .malformed(member: "hash")
        }
        guard let signature = members["signature"]?.text.flatMap({ Base64URL.decode($0) }) else {
            throw .malformed(member: "signature")
        }
        guard let sequence = members["seq"]?.integer else { throw .malformed(member: "seq") }
        guard let previous = members["previous"]?.text.flatMap({ Digest256(hexadecimal: $0) })
        else { throw .malformed(member: "previous") }
        guard let keyID = members["key_id"]?.text else { throw .malformed(member: "key_id") }
        members["hash"] = nil
        members["signature"] = nil
        guard Digest256.of(CanonicalJSON.encode(.object(members))) == hash else {
            throw .hashMismatch
        }
        guard let key = keys[keyID] else { throw .unknownKey(keyID) }
        guard key.isValidSignature(signature, for: ReceiptSigner.context + hash.bytes) else {
            throw .signatureInvalid
        }
        self.sequence = sequence
        self.hash = hash
        self.previous = previous
        self.document = document
    }

    /// Checks that receipts, in order, form one chain from `start` on.
    ///
    /// - Parameter start: number and hash of the receipt before the first; 0 and zeros at the
    ///   beginning.
    package static func checkChain(
        _ receipts: [VerifiedReceipt], after start: (sequence: Int64, hash: Digest256)
    ) throws(ReceiptFault) {
        var last = start
        for receipt in receipts {
            guard receipt.sequence == last.sequence + 1, receipt.previous == last.hash else {
                throw .chainBroken(sequence: receipt.sequence)
            }
            last = (receipt.sequence, receipt.hash)
        }
    }
}
