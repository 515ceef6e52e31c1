internal import CZlib

/// Raw inflate (RFC 1951), fed and drained in pieces.
@safe struct Inflater: ~Copyable {
    private let stream: UnsafeMutablePointer<z_stream>
    private var input: [UInt8] = []
    private var position = 0
    private(set) var isFinished = false

    init() throws(OpeningError) {
        let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        unsafe stream.initialize(to: z_stream())
        let status = unsafe inflateInit2_(
            stream, -MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard status == Z_OK else {
            unsafe stream.deallocate()
            throw .library("inflate cannot be set up: \(status)")
        }
        unsafe self.stream = unsafe stream
    }

    deinit {
        unsafe inflateEnd(stream)
        unsafe stream.deallocate()
    }

    /// Input that was fed and not yet used.
    var unusedCount: Int { input.count - position }

    /// Hands over the next bytes; the ones before must be used up.
    mutating func feed(_ bytes: [UInt8]) {
        input = bytes
        position = 0
    }

    /// Writes inflated bytes to `target` and says how many; 0 asks for more input, unless the
    /// stream is finished.
    mutating func inflate(
        into target: UnsafeMutableRawBufferPointer
    ) throws(OpeningError) -> Int {
        guard !isFinished, unsafe !target.isEmpty else { return 0 }
        let stream = unsafe stream
        let start = position
        let outputCount = min(target.count, Int(Int32.max))
        var used = 0
        var status = Z_OK
        unsafe input.withUnsafeMutableBufferPointer { source in
            let count = min(source.count - start, Int(Int32.max))
            unsafe stream.pointee.next_in = source.baseAddress?.advanced(by: start)
            unsafe stream.pointee.avail_in = UInt32(count)
            unsafe stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
            unsafe stream.pointee.avail_out = UInt32(outputCount)
            status = unsafe CZlib.inflate(stream, Z_NO_FLUSH)
            used = count - Int(unsafe stream.pointee.avail_in)
        }
        position += used
        switch status {
        case Z_OK, Z_BUF_ERROR: break
        case Z_STREAM_END: isFinished = true
        case Z_MEM_ERROR: throw .library("inflate ran out of memory")
        default: throw .cannotOpen("the deflate stream is damaged")
        }
        return outputCount - Int(unsafe stream.pointee.avail_out)
    }
}
