internal import Crypto

/// Seals the chunks of one file, each by itself, so that a file of any size is read and written with
/// the memory of one chunk.
///
/// AES-256-GCM under a key that belongs to the context and the header together; the nonce is the
/// chunk's index; the header and the index are authenticated with each chunk. A chunk opens at its
/// own place in its own file only. That none is missing at the end is for the header to say.
package struct ChunkCipher: Sendable {
    private let key: SymmetricKey
    private let header: [UInt8]

    /// Bytes that sealing adds to a chunk.
    package static let tagByteCount = 16

    fileprivate init(key: SymmetricKey, header: [UInt8]) {
        self.key = key
        self.header = header
    }

    /// The ciphertext and its tag. No index may be sealed twice.
    ///
    /// - Throws: ``StoreError/cryptography(_:)``.
    package func seal(_ chunk: [UInt8], index: UInt64) throws(StoreError) -> [UInt8] {
        do {
            let box = try AES.GCM.seal(
                chunk, using: key, nonce: Self.nonce(index),
                authenticating: header + Self.bytes(of: index))
            return Array(box.ciphertext) + Array(box.tag)
        } catch {
            throw .cryptography("sealing a chunk failed")
        }
    }

    /// Opens what ``seal(_:index:)`` made; nil for a damaged chunk, or one of another place or file.
    package func open(_ sealed: [UInt8], index: UInt64) -> [UInt8]? {
        guard sealed.count >= Self.tagByteCount else { return nil }
        do {
            let box = try AES.GCM.SealedBox(
                nonce: Self.nonce(index), ciphertext: sealed.dropLast(Self.tagByteCount),
                tag: sealed.suffix(Self.tagByteCount))
            return Array(
                try AES.GCM.open(
                    box, using: key, authenticating: header + Self.bytes(of: index)))
        } catch {
            // All that can fail here is the tag.
            return nil
        }
    }

    private static func nonce(_ index: UInt64) throws -> AES.GCM.Nonce {
        try AES.GCM.Nonce(data: [0, 0, 0, 0] + bytes(of: index))
    }

    private static func bytes(of index: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: index >> UInt64(56 - 8 * $0)) }
    }
}

extension RootKey {
    /// The cipher of one file.
    ///
    /// - Parameters:
    ///   - context: what the file is, such as `dead-letter/<name>`.
    ///   - header: the file's own first bytes; they hold 16 random ones, so that no key is used for
    ///     two files, or for two versions of one.
    package func chunkCipher(context: String, header: [UInt8]) -> ChunkCipher {
        ChunkCipher(key: chunkKey(context: context, header: header), header: header)
    }
}
