internal import CKeyLanes
internal import CLibcrypto

/// PBKDF2-HMAC-SHA1 (RFC 8018, section 5.2) of many passwords at once.
///
/// Each block of each key is a chain of rounds that depends on no other: as many run side by side as
/// the processor's vectors have lanes.
struct PasswordStretcher {
    /// How many chains run side by side: the fastest way that this machine has.
    static let best = PasswordStretcher(lanes: waybill_best_lanes())

    /// Every way that this machine has.
    static var all: [PasswordStretcher] {
        [waybill_lanes_portable, waybill_lanes_avx2, waybill_lanes_avx512]
            .filter { waybill_has_lanes($0) != 0 }.map { PasswordStretcher(lanes: $0) }
    }

    private let lanes: waybill_lanes
    /// Bytes of one block: a SHA-1 digest.
    private static let blockCount = 20

    private init(lanes: waybill_lanes) {
        self.lanes = lanes
    }

    /// `count` bytes of key material of each input, in their order.
    ///
    /// - Parameter rounds: at least 1.
    func stretch(
        _ inputs: [(password: [UInt8], salt: [UInt8])], rounds: Int, count: Int
    ) -> [[UInt8]] {
        let blocks = (count + Self.blockCount - 1) / Self.blockCount
        var chains: [waybill_chain] = []
        chains.reserveCapacity(inputs.count * blocks)
        for input in inputs {
            let code = MessageCode(key: input.password)
            for index in 1...UInt32(blocks) {
                var first = code
                first.update(input.salt)
                first.update([24, 16, 8, 0].map { UInt8(truncatingIfNeeded: index >> $0) })
                chains.append(
                    waybill_chain(
                        inner: code.innerState.words, outer: code.outerState.words,
                        words: Self.words(first.finish())))
            }
        }
        unsafe chains.withUnsafeMutableBufferPointer { chains in
            unsafe waybill_run_chains(chains.baseAddress, chains.count, Int32(rounds), lanes)
        }
        return stride(from: 0, to: chains.count, by: blocks).map { start in
            Array(chains[start..<start + blocks].flatMap(Self.bytes).prefix(count))
        }
    }

    private static func words(_ digest: [UInt8]) -> FiveWords {
        func word(_ index: Int) -> UInt32 {
            digest[4 * index..<4 * index + 4].reduce(0) { $0 << 8 | UInt32($1) }
        }
        return (word(0), word(1), word(2), word(3), word(4))
    }

    private static func bytes(_ chain: waybill_chain) -> [UInt8] {
        let words = chain.words
        return [words.0, words.1, words.2, words.3, words.4].flatMap { word in
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> $0) }
        }
    }
}

private typealias FiveWords = (UInt32, UInt32, UInt32, UInt32, UInt32)

extension SHA_CTX {
    fileprivate var words: FiveWords { (h0, h1, h2, h3, h4) }
}
