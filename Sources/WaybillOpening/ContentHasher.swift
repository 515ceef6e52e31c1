internal import CLibcrypto

/// Hashes a transaction's content so that equal content has equal hashes and the key's holder
/// alone can tell what was hashed: HMAC-SHA256 under a key per tenant.
///
/// Hashed are, each piece with its length before it: a version, the type, the instant in
/// microseconds, and the payload in the form of `CanonicalWriter` or the content type and bytes.
package struct ContentHasher: Sendable {
    private let inner: SHA256_CTX
    private let outer: SHA256_CTX

    /// The key may have any length; 32 random bytes are right.
    package init(key: [UInt8]) {
        var block = [UInt8](repeating: 0, count: 64)
        if key.count > block.count {
            var state = Self.begin()
            unsafe key.withUnsafeBytes { unsafe Self.update(&state, $0) }
            block.replaceSubrange(0..<32, with: Self.finish(&state))
        } else {
            block.replaceSubrange(0..<key.count, with: key)
        }
        inner = Self.state(after: block.map { $0 ^ 0x36 })
        outer = Self.state(after: block.map { $0 ^ 0x5c })
    }

    /// The hash, 32 bytes, of a payload in canonical form.
    func hash(
        type: UnsafeRawBufferPointer, microseconds: Int64, payload: UnsafeRawBufferPointer
    ) -> [UInt8] {
        var state = unsafe begin(type: type, microseconds: microseconds, kind: "j")
        unsafe Self.updateCounted(&state, payload)
        return finishOuter(&state)
    }

    /// The hash, 32 bytes, of content that is not JSON.
    func hash(
        type: UnsafeRawBufferPointer, microseconds: Int64, contentType: UnsafeRawBufferPointer,
        body: [UInt8]
    ) -> [UInt8] {
        var state = unsafe begin(type: type, microseconds: microseconds, kind: "b")
        unsafe Self.updateCounted(&state, contentType)
        unsafe body.withUnsafeBytes { unsafe Self.updateCounted(&state, $0) }
        return finishOuter(&state)
    }

    private func begin(
        type: UnsafeRawBufferPointer, microseconds: Int64, kind: Unicode.Scalar
    ) -> SHA256_CTX {
        var state = inner
        let version: [UInt8] = [1, UInt8(ascii: kind)]
        unsafe version.withUnsafeBytes { unsafe Self.update(&state, $0) }
        unsafe Self.updateCounted(&state, type)
        Self.update(&state, UInt64(bitPattern: microseconds))
        return state
    }

    private func finishOuter(_ state: inout SHA256_CTX) -> [UInt8] {
        let digest = Self.finish(&state)
        var last = outer
        unsafe digest.withUnsafeBytes { unsafe Self.update(&last, $0) }
        return Self.finish(&last)
    }

    // The functions below never fail: they work on plain memory.

    private static func begin() -> SHA256_CTX {
        var state = SHA256_CTX()
        _ = unsafe SHA256_Init(&state)
        return state
    }

    private static func state(after block: [UInt8]) -> SHA256_CTX {
        var state = begin()
        unsafe block.withUnsafeBytes { unsafe update(&state, $0) }
        return state
    }

    private static func update(_ state: inout SHA256_CTX, _ bytes: UnsafeRawBufferPointer) {
        _ = unsafe SHA256_Update(&state, bytes.baseAddress, bytes.count)
    }

    private static func update(_ state: inout SHA256_CTX, _ value: UInt64) {
        var value = value.bigEndian
        unsafe withUnsafeBytes(of: &value) { unsafe update(&state, $0) }
    }

    private static func updateCounted(_ state: inout SHA256_CTX, _ bytes: UnsafeRawBufferPointer) {
        update(&state, UInt64(bytes.count))
        unsafe update(&state, bytes)
    }

    private static func finish(_ state: inout SHA256_CTX) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
            _ = unsafe SHA256_Final(buffer.baseAddress, &state)
            count = 32
        }
    }
}
