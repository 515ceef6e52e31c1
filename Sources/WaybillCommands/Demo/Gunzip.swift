internal import CZlib

/// Reads gzip (RFC 1952), for data that is compiled in.
enum Gunzip {
    struct Failure: Error {
        /// zlib's.
        let status: Int32
    }

    /// - Parameter bytesMax: of the result.
    static func inflate(_ input: [UInt8], bytesMax: Int) throws(Failure) -> [UInt8] {
        var stream = z_stream()
        let opened = inflateInit2_(
            &stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard opened == Z_OK else { throw Failure(status: opened) }
        defer { inflateEnd(&stream) }
        var source = input
        var status: Int32 = Z_OK
        let output = [UInt8](unsafeUninitializedCapacity: bytesMax) { buffer, count in
            source.withUnsafeMutableBufferPointer { source in
                stream.next_in = source.baseAddress
                stream.avail_in = UInt32(source.count)
                stream.next_out = buffer.baseAddress
                stream.avail_out = UInt32(buffer.count)
                status = CZlib.inflate(&stream, Z_FINISH)
            }
            count = Int(stream.total_out)
        }
        guard status == Z_STREAM_END else { throw Failure(status: status) }
        return output
    }
}
