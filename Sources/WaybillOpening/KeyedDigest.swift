internal import CLibcrypto

/// HMAC-SHA256 (RFC 2104) under one key, which is worked in once for many messages.
struct KeyedDigest: Sendable {
    private let inner: State
    private let outer: State

    /// The key may have any length.
    init(key: [UInt8]) {
        var block = [UInt8](repeating: 0, count: 64)
        if key.count > block.count {
            var state = State()
            unsafe key.withUnsafeBytes { unsafe state.update($0) }
            block.replaceSubrange(0..<32, with: state.finish().bytes)
        } else {
            block.replaceSubrange(0..<key.count, with: key)
        }
        inner = State(after: block.map { $0 ^ 0x36 })
        outer = State(after: block.map { $0 ^ 0x5c })
    }

    /// Where every message begins.
    func begin() -> State { inner }

    /// The code of what `state` has taken in since ``begin()``.
    func finish(_ state: inout State) -> ContentHash {
        let digest = state.finish()
        var last = outer
        unsafe withUnsafeBytes(of: digest.stored) { unsafe last.update($0) }
        return last.finish()
    }

    func code(of message: [UInt8]) -> ContentHash {
        var state = begin()
        unsafe message.withUnsafeBytes { unsafe state.update($0) }
        return finish(&state)
    }

    /// A SHA-256 on its way. Its functions never fail: they work on plain memory.
    struct State: Sendable {
        private var context = SHA256_CTX()

        init() {
            _ = unsafe SHA256_Init(&context)
        }

        init(after block: [UInt8]) {
            self.init()
            unsafe block.withUnsafeBytes { unsafe update($0) }
        }

        mutating func update(_ bytes: UnsafeRawBufferPointer) {
            _ = unsafe SHA256_Update(&context, bytes.baseAddress, bytes.count)
        }

        mutating func update(_ value: UInt64) {
            unsafe withUnsafeBytes(of: value.bigEndian) { unsafe update($0) }
        }

        mutating func updateCounted(_ bytes: UnsafeRawBufferPointer) {
            update(UInt64(bytes.count))
            unsafe update(bytes)
        }

        mutating func finish() -> ContentHash {
            var hash = ContentHash()
            unsafe withUnsafeMutableBytes(of: &hash.stored) { bytes in
                _ = unsafe SHA256_Final(
                    bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), &context)
            }
            return hash
        }
    }
}

/// 32 bytes, in place.
package struct ContentHash: Sendable {
    /// In memory as the hash's bytes stand.
    var stored: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    /// Most significant byte first.
    package var words: (UInt64, UInt64, UInt64, UInt64) {
        (stored.0.bigEndian, stored.1.bigEndian, stored.2.bigEndian, stored.3.bigEndian)
    }

    package var bytes: [UInt8] { unsafe withUnsafeBytes(of: stored) { unsafe Array($0) } }
}
