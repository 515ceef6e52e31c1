internal import Crypto
internal import WaybillModel

/// A hash function that is checked when a sender uses it.
package enum DigestAlgorithm: String, Sendable, CaseIterable {
    case sha1
    case sha256 = "sha-256"
    case sha512 = "sha-512"

    package var byteCount: Int {
        switch self {
        case .sha1: 20
        case .sha256: 32
        case .sha512: 64
        }
    }

    /// Those of RFC 9530 that are not deprecated; SHA-1 is for tus alone.
    package static let ofDigestFields: Set<DigestAlgorithm> = [.sha256, .sha512]
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
        case .sha1: Array(Insecure.SHA1.hash(data: body)) == bytes
        case .sha256: Array(SHA256.hash(data: body)) == bytes
        case .sha512: Array(SHA512.hash(data: body)) == bytes
        }
    }
}

/// The digests of some bytes, computed while they come in.
struct RunningDigest {
    private(set) var sha256 = SHA256()
    private var sha512: SHA512?
    private var sha1: Insecure.SHA1?

    /// - Parameter algorithms: those wanted besides SHA-256.
    init(_ algorithms: some Sequence<DigestAlgorithm>) {
        for algorithm in algorithms {
            switch algorithm {
            case .sha1: sha1 = Insecure.SHA1()
            case .sha256: break
            case .sha512: sha512 = SHA512()
            }
        }
    }

    mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        sha256.update(bufferPointer: bytes)
        sha512?.update(bufferPointer: bytes)
        sha1?.update(bufferPointer: bytes)
    }

    /// The digest so far; nil for a function that was not wanted.
    func bytes(_ algorithm: DigestAlgorithm) -> [UInt8]? {
        switch algorithm {
        case .sha1: sha1.map { Array($0.finalize()) }
        case .sha256: Array(sha256.finalize())
        case .sha512: sha512.map { Array($0.finalize()) }
        }
    }

    /// The SHA-256 of all bytes, after every expectation was compared with them.
    func finish(expecting expected: [ExpectedDigest]) throws(UploadError) -> Digest256 {
        for expectation in expected {
            guard bytes(expectation.algorithm) == expectation.bytes else {
                throw .digestMismatch(expectation.algorithm)
            }
        }
        return Digest256(sha256.finalize())
    }
}
