internal import Crypto
internal import CryptoExtras

/// AES-256 in the counter mode of WinZip: the 16-byte counter is little-endian and begins at 1.
///
/// swift-crypto has no such mode and no ECB. Its CFB mode, run in the decrypting direction, gives
/// for each block *i* of its input E(block i−1) ⊕ block i: fed with the counters, it enciphers
/// all of them under one key schedule, and what it added is taken away again.
enum CounterMode {
    /// Enciphers `bytes` in place; deciphering is the same.
    static func apply(key: SymmetricKey, to bytes: inout [UInt8]) throws(SealingError) {
        var counter: UInt64 = 1
        var start = 0
        while start < bytes.count {
            let blocks = min(chunkBlocks, (bytes.count - start + 15) / 16)
            let counters = Self.counters(from: counter, count: blocks + 1)
            let masked: [UInt8]
            do {
                masked = Array(
                    try AES._CFB.decrypt(
                        counters[16...], using: key,
                        iv: AES._CFB.IV(ivBytes: counters[..<16])))
            } catch {
                throw .cryptography("\(error)")
            }
            let end = min(bytes.count, start + 16 * blocks)
            mix(into: &bytes, from: start, to: end, masked, counters[16...])
            counter += UInt64(blocks)
            start = end
        }
    }

    private static let chunkBlocks = 4096

    /// `bytes[start..<end] ^= masked ^ counters`, eight bytes at a time.
    private static func mix(
        into bytes: inout [UInt8], from start: Int, to end: Int, _ masked: [UInt8],
        _ counters: ArraySlice<UInt8>
    ) {
        let count = end - start
        precondition(masked.count >= count && counters.count >= count && end <= bytes.count)
        bytes.withUnsafeMutableBytes { bytes in
            masked.withUnsafeBytes { masked in
                counters.withUnsafeBytes { counters in
                    let wordsEnd = count & ~7
                    var position = 0
                    while position < wordsEnd {
                        let stream =
                            masked.loadUnaligned(fromByteOffset: position, as: UInt64.self)
                            ^ counters.loadUnaligned(fromByteOffset: position, as: UInt64.self)
                        let mixed =
                            bytes.loadUnaligned(fromByteOffset: start + position, as: UInt64.self)
                            ^ stream
                        bytes.storeBytes(
                            of: mixed, toByteOffset: start + position, as: UInt64.self)
                        position += 8
                    }
                    while position < count {
                        bytes[start + position] ^= masked[position] ^ counters[position]
                        position += 1
                    }
                }
            }
        }
    }

    /// `count` counter blocks, one after the other.
    private static func counters(from first: UInt64, count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 16 * count) { buffer, initialized in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            for index in 0..<count {
                raw.storeBytes(
                    of: (first + UInt64(index)).littleEndian, toByteOffset: 16 * index,
                    as: UInt64.self)
                raw.storeBytes(of: 0, toByteOffset: 16 * index + 8, as: UInt64.self)
            }
            initialized = 16 * count
        }
    }
}
