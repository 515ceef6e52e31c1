internal import Crypto
internal import WaybillModel

/// A hash function of RFC 9530 that is checked when a sender uses it.
package enum DigestAlgorithm: String, Sendable, CaseIterable {
    case sha256 = "sha-256"
    case sha512 = "sha-512"

    package var byteCount: Int {
        switch self {
        case .sha256: 32
        case .sha512: 64
        }
    }
}

/// What the sender says of its bytes.
package struct ExpectedDigest: Sendable, Equatable {
    package let algorithm: DigestAlgorithm
    package let bytes: [UInt8]

    package init(algorithm: DigestAlgorithm, bytes: [UInt8]) {
        self.algorithm = algorithm
        self.bytes = bytes
    }

    /// Whether a whole body has this digest.
    package func matches(_ body: [UInt8]) -> Bool {
        switch algorithm {
        case .sha256: Array(SHA256.hash(data: body)) == bytes
        case .sha512: Array(SHA512.hash(data: body)) == bytes
        }
    }
}

/// The digests of a part, computed while its bytes come in.
struct RunningDigest {
    private var sha256 = SHA256()
    private var sha512: SHA512?

    init(wantsSHA512: Bool) {
        sha512 = wantsSHA512 ? SHA512() : nil
    }

    mutating func update(_ bytes: [UInt8]) {
        sha256.update(data: bytes)
        sha512?.update(data: bytes)
    }

    /// The SHA-256 of all bytes, after every expectation was compared with them.
    func finish(expecting expected: [ExpectedDigest]) throws(UploadError) -> Digest256 {
        let digest = Digest256(sha256.finalize())
        for expectation in expected {
            let actual =
                switch expectation.algorithm {
                case .sha256: digest.bytes
                case .sha512: sha512.map { Array($0.finalize()) } ?? []
                }
            guard actual == expectation.bytes else {
                throw .digestMismatch(expectation.algorithm)
            }
        }
        return digest
    }
}
