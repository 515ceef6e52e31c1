internal import CLibcrypto
internal import Crypto
internal import FoundationEssentials
internal import Synchronization

/// AES-256-GCM under one key, in place, with the key's schedule kept from record to record.
///
/// swift-crypto makes a context, two buffers and their combination for each message: eight times
/// the time that AES itself takes for 1 KiB, on the thread that all senders wait for. What is sealed
/// here is opened by swift-crypto, so that the two watch each other.
final class RecordSealer: Sendable {
    private let key: SymmetricKey
    /// Nil until the first record: most segments are only read.
    private let context = Mutex<GCMContext?>(nil)

    init(key: SymmetricKey) {
        self.key = key
    }

    /// Seals `buffer` from `start` to its last 16 bytes, and puts the tag there.
    ///
    /// - Parameters:
    ///   - nonce: 12 bytes; the caller uses none twice.
    ///   - first, second: authenticated together, one after the other.
    /// - Throws: ``LogError/failed(errno:operation:)``; what is in the buffer then is of no use.
    func seal(
        _ buffer: inout [UInt8], from start: Int, nonce: [UInt8],
        authenticating first: [UInt8], _ second: ArraySlice<UInt8>
    ) throws(LogError) {
        let isSealed = try context.withLock { context throws(LogError) in
            if context == nil { context = try GCMContext(key: key) }
            return unsafe buffer.withUnsafeMutableBytes { bytes in
                unsafe context?.seal(
                    UnsafeMutableRawBufferPointer(rebasing: bytes[start...]), nonce: nonce,
                    authenticating: first, second) ?? false
            }
        }
        guard isSealed else { throw .failed(errno: 0, operation: "seal") }
    }
}

/// One of OpenSSL's EVP contexts for AES-256-GCM; see EVP_EncryptInit(3).
@safe private struct GCMContext: ~Copyable, @unchecked Sendable {
    // `@unchecked`: the pointer is used by who holds the mutex that the struct lies in.
    private let context: OpaquePointer

    init(key: SymmetricKey) throws(LogError) {
        guard key.bitCount == 256, let context = unsafe EVP_CIPHER_CTX_new() else {
            throw .failed(errno: 0, operation: "seal")
        }
        let status = unsafe key.withUnsafeBytes { bytes in
            unsafe EVP_EncryptInit_ex(
                context, EVP_aes_256_gcm(), nil,
                bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
        }
        guard status == 1 else {
            unsafe EVP_CIPHER_CTX_free(context)
            throw .failed(errno: 0, operation: "seal")
        }
        unsafe self.context = unsafe context
    }

    deinit {
        unsafe EVP_CIPHER_CTX_free(context)
    }

    /// Seals all but the last 16 bytes, which become the tag; false if the library refuses.
    func seal(
        _ bytes: UnsafeMutableRawBufferPointer, nonce: [UInt8], authenticating first: [UInt8],
        _ second: ArraySlice<UInt8>
    ) -> Bool {
        let count = Int32(bytes.count - FrameHeader.tagByteCount)
        guard count >= 0,
            let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        else { return false }
        var written: Int32 = 0
        var rest: Int32 = 0
        guard unsafe EVP_EncryptInit_ex(context, nil, nil, nil, nonce) == 1,
            authenticate(first[...]), authenticate(second),
            unsafe EVP_EncryptUpdate(context, start, &written, start, count) == 1,
            written == count,
            unsafe EVP_EncryptFinal_ex(context, start + Int(count), &rest) == 1, rest == 0
        else { return false }
        return unsafe EVP_CIPHER_CTX_ctrl(
            context, EVP_CTRL_AEAD_GET_TAG, Int32(FrameHeader.tagByteCount),
            start + Int(count)) == 1
    }

    private func authenticate(_ bytes: ArraySlice<UInt8>) -> Bool {
        // No bytes at an address of none would end the message.
        if bytes.isEmpty { return true }
        var written: Int32 = 0
        return unsafe bytes.withUnsafeBufferPointer { bytes in
            unsafe EVP_EncryptUpdate(context, nil, &written, bytes.baseAddress, Int32(bytes.count))
        } == 1
    }
}
