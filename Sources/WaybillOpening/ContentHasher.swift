/// Hashes a transaction's content so that equal content has equal hashes and the key's holder
/// alone can tell what was hashed: HMAC-SHA256 under a key per tenant.
///
/// Hashed are, each piece with its length before it: a version, the type, the instant in
/// microseconds, and the payload in the form of `CanonicalWriter` or the content type and bytes.
package struct ContentHasher: Sendable {
    private let key: KeyedDigest

    /// The key may have any length; 32 random bytes are right.
    package init(key: [UInt8]) {
        self.key = KeyedDigest(key: key)
    }

    /// The hash of a payload in canonical form.
    func hash(
        type: UnsafeRawBufferPointer, microseconds: Int64, payload: UnsafeRawBufferPointer
    ) -> ContentHash {
        var state = unsafe begin(type: type, microseconds: microseconds, kind: "j")
        unsafe state.updateCounted(payload)
        return key.finish(&state)
    }

    /// The hash of content that is not JSON.
    func hash(
        type: UnsafeRawBufferPointer, microseconds: Int64, contentType: UnsafeRawBufferPointer,
        body: [UInt8]
    ) -> ContentHash {
        var state = unsafe begin(type: type, microseconds: microseconds, kind: "b")
        unsafe state.updateCounted(contentType)
        unsafe body.withUnsafeBytes { unsafe state.updateCounted($0) }
        return key.finish(&state)
    }

    private func begin(
        type: UnsafeRawBufferPointer, microseconds: Int64, kind: Unicode.Scalar
    ) -> KeyedDigest.State {
        var state = key.begin()
        let version = (UInt8(1), UInt8(ascii: kind))
        unsafe withUnsafeBytes(of: version) { unsafe state.update($0) }
        unsafe state.updateCounted(type)
        state.update(UInt64(bitPattern: microseconds))
        return state
    }
}
