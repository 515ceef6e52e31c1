internal import CZlib

/// Raw deflate (RFC 1951) of an entry in memory.
enum Deflater {
    static func deflate(_ entry: [UInt8]) throws(SealingError) -> [UInt8] {
        var stream = z_stream()
        let status = deflateInit2_(
            &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY,
            ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
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
