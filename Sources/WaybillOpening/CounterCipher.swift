internal import CLibcrypto

/// AES-256 in WinZip's counter mode: counter blocks, little-endian from 1, enciphered with ECB
/// through OpenSSL's EVP.
@safe struct CounterCipher: ~Copyable {
    private let context: OpaquePointer
    private var counter: UInt64 = 1
    private var counters: [UInt8]
    private var keyStream: [UInt8]
    /// Bytes of `keyStream` not yet used are those from here on.
    private var position: Int

    private let streamCount: Int

    private static let streamCountMax = 16 << 10

    /// - Parameter byteCount: of all that will be deciphered; it may be less.
    init(key: [UInt8], byteCount: Int) throws(OpeningError) {
        guard let context = unsafe EVP_CIPHER_CTX_new() else { throw .library("out of memory") }
        let status = unsafe EVP_EncryptInit_ex(context, EVP_aes_256_ecb(), nil, key, nil)
        guard status == 1, unsafe EVP_CIPHER_CTX_set_padding(context, 0) == 1 else {
            unsafe EVP_CIPHER_CTX_free(context)
            throw .library("AES-256-ECB cannot be set up")
        }
        unsafe self.context = unsafe context
        streamCount = min(Self.streamCountMax, (max(1, byteCount) + 15) / 16 * 16)
        counters = [UInt8](repeating: 0, count: streamCount)
        keyStream = counters
        position = streamCount
    }

    deinit {
        unsafe EVP_CIPHER_CTX_free(context)
    }

    /// Deciphers the next bytes of the stream in place.
    mutating func apply(to bytes: inout [UInt8]) throws(OpeningError) {
        var start = 0
        while start < bytes.count {
            if position == keyStream.count { try refill(wanted: bytes.count - start) }
            let count = min(bytes.count - start, keyStream.count - position)
            let offset = position
            unsafe keyStream.withUnsafeBytes { stream in
                unsafe bytes.withUnsafeMutableBytes { bytes in
                    unsafe Self.exclusiveOr(
                        UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + count]),
                        UnsafeRawBufferPointer(rebasing: stream[offset..<offset + count]))
                }
            }
            position += count
            start += count
        }
    }

    /// Enciphers the next counters: as many as are wanted, in whole blocks, up to the buffer.
    private mutating func refill(wanted: Int) throws(OpeningError) {
        let count = min(streamCount, (wanted + 15) / 16 * 16)
        let first = counter
        unsafe counters.withUnsafeMutableBytes { raw in
            for index in 0..<count / 16 {
                unsafe raw.storeBytes(
                    of: (first + UInt64(index)).littleEndian, toByteOffset: 16 * index,
                    as: UInt64.self)
            }
        }
        counter += UInt64(count / 16)
        position = streamCount - count
        var written: Int32 = 0
        let context = unsafe context
        let start = position
        let status = unsafe counters.withUnsafeBufferPointer { source in
            unsafe keyStream.withUnsafeMutableBufferPointer { target in
                unsafe EVP_EncryptUpdate(
                    context, target.baseAddress?.advanced(by: start), &written,
                    source.baseAddress, Int32(count))
            }
        }
        guard status == 1, written == Int32(count) else { throw .library("AES-256-ECB failed") }
    }

    private static func exclusiveOr(
        _ bytes: UnsafeMutableRawBufferPointer, _ stream: UnsafeRawBufferPointer
    ) {
        let wordsEnd = bytes.count & ~7
        var position = 0
        while position < wordsEnd {
            let mixed =
                unsafe bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)
                ^ stream.loadUnaligned(fromByteOffset: position, as: UInt64.self)
            unsafe bytes.storeBytes(of: mixed, toByteOffset: position, as: UInt64.self)
            position += 8
        }
        while position < bytes.count {
            unsafe bytes[position] ^= stream[position]
            position += 1
        }
    }
}
