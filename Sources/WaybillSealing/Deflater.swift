internal import CZlib

/// How hard deflate tries to make an entry small.
package enum DeflateEffort: Sendable {
    /// Three to four times as fast as usual, a little larger.
    case least
    case usual

    var level: Int32 {
        switch self {
        case .least: Z_BEST_SPEED
        case .usual: Z_DEFAULT_COMPRESSION
        }
    }
}

/// Raw deflate (RFC 1951) of an entry in memory.
enum Deflater {
    static func deflate(
        _ entry: [UInt8], _ effort: DeflateEffort = .usual
    ) throws(SealingError) -> [UInt8] {
        var stream = z_stream()
        // A window larger than the entry is memory to be cleared and nothing more.
        let windowBits = Int32(
            min(15, max(9, Int.bitWidth - entry.count.leadingZeroBitCount)))
        let status = deflateInit2_(
            &stream, effort.level, Z_DEFLATED, -windowBits, min(8, windowBits - 6),
            Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard status == Z_OK else { throw .compression(status) }
        defer { deflateEnd(&stream) }
        guard entry.count <= Int(UInt32.max) - 1 else { throw .tooLarge(byteCount: entry.count) }
        let bound = Int(deflateBound(&stream, UInt(entry.count)))
        guard bound <= Int(UInt32.max) else { throw .tooLarge(byteCount: entry.count) }
        var result = Z_OK
        var input = entry
        let output = [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
            input.withUnsafeMutableBufferPointer { source in
                stream.next_in = source.baseAddress
                stream.avail_in = UInt32(source.count)
                stream.next_out = buffer.baseAddress
                stream.avail_out = UInt32(bound)
                result = CZlib.deflate(&stream, Z_FINISH)
                count = bound - Int(stream.avail_out)
            }
        }
        guard result == Z_STREAM_END else { throw .compression(result) }
        return output
    }
}
