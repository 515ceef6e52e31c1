internal import Crypto
package import WaybillModel

/// The installation's one secret: every key in the database derives from it or is sealed under it.
///
/// Subkeys are HKDF-SHA256 of the 32 bytes with an info text of their own, so that none tells
/// anything of another. What is sealed is bound to its context: it opens nowhere else.
package struct RootKey: Sendable {
    private let key: SymmetricKey

    /// Tells root keys apart without telling the key: 16 hexadecimal digits.
    package let keyID: String

    /// Number of the key that content hashes are made with; stored beside each hash.
    package let contentKeyID: Int16 = 1

    /// - Parameter bytes: 32 random bytes.
    package init(bytes: [UInt8]) {
        precondition(bytes.count == 32, "a root key has 32 bytes")
        key = SymmetricKey(data: bytes)
        let id = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: key, info: Array("waybill/v1/root-key-id".utf8), outputByteCount: 8)
        keyID = Hexadecimal.encode(Self.bytes(of: id))
    }

    /// Seals with AES-256-GCM under a key of the context's own.
    ///
    /// - Parameter context: what the secret belongs to, such as `device-secret/<id>/<epoch>`; the
    ///   same text opens it again. A context seals few secrets, so random nonces never repeat.
    /// - Returns: 12 bytes nonce, ciphertext, 16 bytes tag.
    package func seal(_ secret: some Collection<UInt8>, context: String) throws(StoreError)
        -> [UInt8]
    {
        do {
            let box = try AES.GCM.seal(
                Array(secret), using: derived("waybill/v1/seal/" + context),
                authenticating: Array(context.utf8))
            return Array(box.nonce) + Array(box.ciphertext) + Array(box.tag)
        } catch {
            throw .cryptography("sealing failed")
        }
    }

    /// Opens what ``seal(_:context:)`` made.
    ///
    /// - Throws: ``StoreError/cannotOpenSealed(keyID:)`` for another key, context or altered bytes.
    package func open(_ sealed: [UInt8], context: String) throws(StoreError) -> [UInt8] {
        do {
            let box = try AES.GCM.SealedBox(combined: sealed)
            return Array(
                try AES.GCM.open(
                    box, using: derived("waybill/v1/seal/" + context),
                    authenticating: Array(context.utf8)))
        } catch {
            throw .cannotOpenSealed(keyID: keyID)
        }
    }

    /// Key of the tenant's content hashes: 32 bytes.
    package func contentKey(tenant: TenantID) -> [UInt8] {
        Self.bytes(of: derived("waybill/v1/content/\(contentKeyID)/\(tenant)"))
    }

    /// HMAC of the audit chains.
    var auditKey: KeyedHash { KeyedHash(key: Self.bytes(of: derived("waybill/v1/audit"))) }

    /// Key of one file's chunks; see ``ChunkCipher``.
    func chunkKey(context: String, header: [UInt8]) -> SymmetricKey {
        derived("waybill/v1/chunks/\(context)/" + Hexadecimal.encode(header))
    }

    private func derived(_ info: String) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: key, info: Array(info.utf8), outputByteCount: 32)
    }

    private static func bytes(of key: SymmetricKey) -> [UInt8] {
        key.withUnsafeBytes { Array($0) }
    }
}
