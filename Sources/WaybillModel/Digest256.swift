package import Crypto

/// 32 bytes of a SHA-256; shown and sent as lower-case hexadecimal.
package struct Digest256: Hashable, Sendable {
    /// Most significant byte first.
    package let words: (UInt64, UInt64, UInt64, UInt64)

    /// 32 zero bytes: what stands before the first receipt of a device.
    package static let zero = Digest256(words: (0, 0, 0, 0))

    package init(words: (UInt64, UInt64, UInt64, UInt64)) {
        self.words = words
    }

    /// Nil unless there are exactly 32 bytes.
    package init?(bytes: [UInt8]) {
        self.init(bytes: bytes[...])
    }

    /// Nil unless there are exactly 32 bytes.
    package init?(bytes: ArraySlice<UInt8>) {
        guard bytes.count == 32 else { return nil }
        self = bytes.withUnsafeBytes { Self(raw: $0) }
    }

    /// Not generic on purpose: it runs for every transaction, in other modules.
    private init(raw: UnsafeRawBufferPointer) {
        func word(_ index: Int) -> UInt64 {
            UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self))
        }
        self.init(words: (word(0), word(1), word(2), word(3)))
    }

    /// Reads 64 hexadecimal digits; nil for any other text.
    package init?(hexadecimal text: some StringProtocol) {
        guard let bytes = Hexadecimal.decode(text) else { return nil }
        self.init(bytes: bytes)
    }

    /// The digest of `bytes`, taken as one message.
    package static func of(_ bytes: some Sequence<UInt8>) -> Digest256 {
        var hash = SHA256()
        let contiguous: Void? = bytes.withContiguousStorageIfAvailable {
            hash.update(bufferPointer: UnsafeRawBufferPointer($0))
        }
        if contiguous == nil { hash.update(data: Array(bytes)) }
        return Digest256(hash.finalize())
    }

    package init(_ digest: SHA256.Digest) {
        self = digest.withUnsafeBytes { Self(raw: $0) }
    }

    /// SHA-256 over the parts' raw digests, in part order, also for one part (CONTRACT.md, Receipt).
    package static func ofBundle(parts: [Digest256]) -> Digest256 {
        of(parts.flatMap(\.bytes))
    }

    package var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            raw.storeBytes(of: words.0.bigEndian, toByteOffset: 0, as: UInt64.self)
            raw.storeBytes(of: words.1.bigEndian, toByteOffset: 8, as: UInt64.self)
            raw.storeBytes(of: words.2.bigEndian, toByteOffset: 16, as: UInt64.self)
            raw.storeBytes(of: words.3.bigEndian, toByteOffset: 24, as: UInt64.self)
            count = 32
        }
    }

    package static func == (left: Digest256, right: Digest256) -> Bool {
        left.words == right.words
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
    }
}

extension Digest256: CustomStringConvertible, Codable {
    package var description: String { Hexadecimal.encode(bytes) }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let digest = Digest256(hexadecimal: try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "not 64 hexadecimal digits")
        }
        self = digest
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
