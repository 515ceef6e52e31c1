internal import Crypto
internal import FoundationEssentials

/// The key that wraps the keys of segments, with the id by which headers name it.
package struct MasterKey: Sendable {
    /// 16 hexadecimal digits.
    package var keyID: String { Self.text(of: id) }

    /// A key's id as it is shown.
    static func text(of id: [UInt8]) -> String {
        id.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }

    /// 8 bytes.
    let id: [UInt8]
    private let key: SymmetricKey

    /// Nil unless there are 32 bytes.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        key = SymmetricKey(data: bytes)
        let code = HMAC<SHA256>.authenticationCode(
            for: Array("waybill/log/v1/key-id".utf8), using: key)
        id = Array(code.prefix(8))
    }

    /// Seals a segment's key: 32 bytes and the tag of 16.
    func wrap(_ segmentKey: [UInt8], salt: [UInt8], header: ArraySlice<UInt8>) throws -> [UInt8] {
        let box = try AES.GCM.seal(
            segmentKey, using: wrappingKey(salt: salt),
            nonce: AES.GCM.Nonce(data: [UInt8](repeating: 0, count: 12)),
            authenticating: Array(header))
        return Array(box.ciphertext) + Array(box.tag)
    }

    /// Opens what ``wrap(_:salt:header:)`` sealed; throws if any byte is another one.
    func unwrap(
        _ wrapped: ArraySlice<UInt8>, salt: [UInt8], header: ArraySlice<UInt8>,
        at site: TagCheckSite
    ) throws -> SymmetricKey {
        let box = try AES.GCM.SealedBox(
            nonce: AES.GCM.Nonce(data: [UInt8](repeating: 0, count: 12)),
            ciphertext: Array(wrapped.prefix(32)), tag: Array(wrapped.suffix(16)))
        #if MUTANTS
            if Mutation.disables(site) {
                return SymmetricKey(
                    data: try Mutation.decryptUnchecked(
                        box.ciphertext, key: wrappingKey(salt: salt), nonce: box.nonce))
            }
        #endif
        let opened = try AES.GCM.open(
            box, using: wrappingKey(salt: salt), authenticating: Array(header))
        return SymmetricKey(data: opened)
    }

    private func wrappingKey(salt: [UInt8]) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: key, salt: salt, info: Array("waybill/log/v1/wrap".utf8),
            outputByteCount: 32)
    }
}
