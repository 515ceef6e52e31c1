internal import WaybillSealing

/// What a part's password and salt stretch to: PBKDF2-HMAC-SHA1, 1000 rounds, 66 bytes.
package struct PartKeys: Sendable {
    /// Of AES-256.
    let encryption: [UInt8]
    /// Of HMAC-SHA1.
    let authentication: [UInt8]
    /// Stands in clear before the ciphertext.
    let verifier: [UInt8]

    /// All 66 bytes, as sealing takes them.
    package var material: [UInt8] { encryption + authentication + verifier }

    private init(material: [UInt8]) {
        encryption = Array(material[..<32])
        authentication = Array(material[32..<64])
        verifier = Array(material[64...])
    }

    /// Derives the keys of many parts, in their order; many at once cost far less each than one by
    /// one. Computes for long: never call it on the cooperative pool or an event loop.
    package static func derive(_ inputs: [(password: [UInt8], salt: [UInt8])]) -> [PartKeys] {
        PasswordStretcher.best.stretch(
            inputs, rounds: ArchiveLayout.derivationRounds, count: ArchiveLayout.keyMaterialCount
        ).map(PartKeys.init)
    }

    package static func derive(password: [UInt8], salt: [UInt8]) -> PartKeys {
        derive([(password: password, salt: salt)])[0]
    }
}
