package import Crypto

/// How many transactions of a bundle had each outcome.
package struct OutcomeCounts: Codable, Sendable, Equatable {
    package var accepted: Int
    package var duplicate: Int
    package var rejected: Int
    package var conflict: Int

    package init(accepted: Int = 0, duplicate: Int = 0, rejected: Int = 0, conflict: Int = 0) {
        self.accepted = accepted
        self.duplicate = duplicate
        self.rejected = rejected
        self.conflict = conflict
    }

    package var total: Int { accepted + duplicate + rejected + conflict }

    /// As a JSON object in canonical form.
    package var canonicalText: String {
        #"{"accepted":\#(accepted),"conflict":\#(conflict),"duplicate":\#(duplicate),"#
            + #""rejected":\#(rejected)}"#
    }
}

/// One transaction that was not accepted, or a run of neighbours with one outcome.
package enum ReceiptException: Sendable, Equatable {
    /// `id` is nil when the line has no readable one.
    case one(index: Int, id: TransactionID?, outcome: Outcome, code: String?, detail: String?)
    case run(from: Int, count: Int, outcome: Outcome, code: String?)
}

/// What the server says of a bundle, before it is numbered, chained and signed.
package struct ReceiptContent: Sendable, Equatable {
    package var deviceID: DeviceID
    package var bundleID: BundleID
    package var bundleDigest: Digest256
    /// ``BundleState/settled`` or ``BundleState/quarantined``.
    package var state: BundleState
    package var settledAt: Timestamp
    /// Nil for a quarantined bundle.
    package var counts: OutcomeCounts?
    package var exceptions: [ReceiptException]
    /// Of a quarantined bundle.
    package var code: QuarantineCode?
    package var detail: String?
    /// The receipt number that this one takes the place of.
    package var supersedes: Int64?

    package init(
        deviceID: DeviceID, bundleID: BundleID, bundleDigest: Digest256, state: BundleState,
        settledAt: Timestamp, counts: OutcomeCounts? = nil, exceptions: [ReceiptException] = [],
        code: QuarantineCode? = nil, detail: String? = nil, supersedes: Int64? = nil
    ) {
        self.deviceID = deviceID
        self.bundleID = bundleID
        self.bundleDigest = bundleDigest
        self.state = state
        self.settledAt = settledAt
        self.counts = counts
        self.exceptions = exceptions
        self.code = code
        self.detail = detail
        self.supersedes = supersedes
    }
}

/// A numbered, chained and signed receipt: the exact text that is stored and served.
package struct SignedReceipt: Sendable, Equatable {
    package let sequence: Int64
    package let hash: Digest256
    /// 64 bytes, Ed25519.
    package let signature: [UInt8]
    /// JSON, UTF-8, with `hash` and `signature`.
    package let document: String
}

/// Signs receipts with one Ed25519 key.
package struct ReceiptSigner: Sendable {
    package let keyID: String
    private let key: Curve25519.Signing.PrivateKey

    /// What is signed is these bytes, one zero byte, and the 32 bytes of the receipt's hash.
    package static let context = Array("waybill/v1/receipt".utf8) + [0]

    package init(keyID: String, key: Curve25519.Signing.PrivateKey) {
        self.keyID = keyID
        self.key = key
    }

    package var publicKey: [UInt8] { Array(key.publicKey.rawRepresentation) }

    /// The receipt number `sequence` of its device, chained to the one before.
    ///
    /// - Parameter previous: hash of receipt `sequence - 1`, ``Digest256/zero`` for the first.
    /// - Throws: what the signing library throws; retrying does not help.
    package func sign(
        _ content: ReceiptContent, sequence: Int64, previous: Digest256
    ) throws -> SignedReceipt {
        var document = CanonicalJSON.receipt(
            content, sequence: sequence, previous: previous, keyID: keyID)
        let hash = Digest256.of(document)
        let signature = Array(try key.signature(for: Self.context + hash.bytes))
        document.removeLast()
        document.append(
            contentsOf:
                #","hash":"\#(hash)","signature":"\#(Base64URL.encode(signature))"}"#.utf8)
        return SignedReceipt(
            sequence: sequence, hash: hash, signature: signature,
            document: String(decoding: document, as: UTF8.self))
    }
}
