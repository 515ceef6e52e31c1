internal import CLibcrypto

/// HMAC-SHA1 (RFC 2104), fed piece by piece; a copy goes its own way.
struct MessageCode {
    /// SHA-1 after the key's inner block: where every message begins.
    let innerState: SHA_CTX
    /// SHA-1 after the key's outer block.
    let outerState: SHA_CTX
    private var state: SHA_CTX

    init(key: [UInt8]) {
        var block = [UInt8](repeating: 0, count: 64)
        if key.count > block.count {
            var state = Self.begin()
            Self.update(&state, key)
            block.replaceSubrange(0..<20, with: Self.finish(&state))
        } else {
            block.replaceSubrange(0..<key.count, with: key)
        }
        var inner = Self.begin()
        Self.update(&inner, block.map { $0 ^ 0x36 })
        var outer = Self.begin()
        Self.update(&outer, block.map { $0 ^ 0x5c })
        innerState = inner
        outerState = outer
        state = inner
    }

    mutating func update(_ bytes: [UInt8]) {
        Self.update(&state, bytes)
    }

    /// The code, 20 bytes.
    mutating func finish() -> [UInt8] {
        var outer = outerState
        Self.update(&outer, Self.finish(&state))
        return Self.finish(&outer)
    }

    // The functions below never fail: they work on plain memory.

    private static func begin() -> SHA_CTX {
        var state = SHA_CTX()
        _ = unsafe SHA1_Init(&state)
        return state
    }

    private static func update(_ state: inout SHA_CTX, _ bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { _ = unsafe SHA1_Update(&state, $0.baseAddress, $0.count) }
    }

    private static func finish(_ state: inout SHA_CTX) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: 20) { buffer, count in
            _ = unsafe SHA1_Final(buffer.baseAddress, &state)
            count = 20
        }
    }
}

/// Compares all bytes whatever the first difference, so that the time tells nothing.
func isEqualInConstantTime(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    return unsafe left.withUnsafeBytes { left in
        unsafe right.withUnsafeBytes { right in
            unsafe CRYPTO_memcmp(left.baseAddress, right.baseAddress, left.count) == 0
        }
    }
}
