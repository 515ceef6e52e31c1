internal import CLibcrypto

/// PBKDF2-HMAC-SHA1 (RFC 8018, section 5.2) with the key's two half-finished hashes kept, so that
/// each round costs two compressions and no allocation.
struct PasswordStretcher {
    private let code: MessageCode

    init(password: [UInt8]) {
        code = MessageCode(key: password)
    }

    /// `count` bytes of key material.
    func stretch(salt: [UInt8], rounds: Int, count: Int) -> [UInt8] {
        var material: [UInt8] = []
        var index: UInt32 = 1
        while material.count < count {
            var last = code
            last.update(salt)
            last.update([24, 16, 8, 0].map { UInt8(truncatingIfNeeded: index >> $0) })
            var words = Words(digest: last.finish())
            var sum = words
            for _ in 1..<rounds {
                words = round(words)
                sum.formXor(words)
            }
            material += sum.digest.prefix(count - material.count)
            index += 1
        }
        return material
    }

    /// HMAC of one digest: a 20-byte message after a 64-byte block, padded as SHA-1 asks.
    private func round(_ words: Words) -> Words {
        Self.compress(code.outerState, Self.compress(code.innerState, words))
    }

    private static func compress(_ start: SHA_CTX, _ message: Words) -> Words {
        var state = start
        var block = message.paddedBlock
        unsafe withUnsafeBytes(of: &block) { bytes in
            unsafe SHA1_Transform(
                &state, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        }
        return Words(h0: state.h0, h1: state.h1, h2: state.h2, h3: state.h3, h4: state.h4)
    }
}

/// A SHA-1 digest as its five words.
private struct Words {
    var h0, h1, h2, h3, h4: UInt32

    init(h0: UInt32, h1: UInt32, h2: UInt32, h3: UInt32, h4: UInt32) {
        self.h0 = h0
        self.h1 = h1
        self.h2 = h2
        self.h3 = h3
        self.h4 = h4
    }

    init(digest: [UInt8]) {
        func word(_ index: Int) -> UInt32 {
            digest[4 * index..<4 * index + 4].reduce(0) { $0 << 8 | UInt32($1) }
        }
        self.init(h0: word(0), h1: word(1), h2: word(2), h3: word(3), h4: word(4))
    }

    mutating func formXor(_ other: Words) {
        h0 ^= other.h0
        h1 ^= other.h1
        h2 ^= other.h2
        h3 ^= other.h3
        h4 ^= other.h4
    }

    var digest: [UInt8] {
        [h0, h1, h2, h3, h4].flatMap { word in
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> $0) }
        }
    }

    /// The last block of a message of 64 + 20 bytes: 672 bits.
    var paddedBlock: SIMD16<UInt32> {
        SIMD16(
            h0.bigEndian, h1.bigEndian, h2.bigEndian, h3.bigEndian, h4.bigEndian,
            UInt32(0x8000_0000).bigEndian, 0, 0, 0, 0, 0, 0, 0, 0, 0, UInt32(672).bigEndian)
    }
}
