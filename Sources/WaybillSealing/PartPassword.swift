internal import Crypto

/// The password that protects one part (CONTRACT.md, "The sealed bundle").
package enum PartPassword {
    /// 43 ASCII characters: HKDF-SHA256 of the device's secret in base64url without padding.
    ///
    /// The same arguments always give the same password; no two parts share one.
    package static func derive(secret: [UInt8], identity: PartIdentity) -> [UInt8] {
        let key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: secret),
            salt: identity.bundleID,
            info: info(identity),
            outputByteCount: 32)
        return key.withUnsafeBytes { base64URL(Array($0)) }
    }

    /// What HKDF expands the key for.
    package static func info(_ identity: PartIdentity) -> [UInt8] {
        Array(
            ("waybill/v1/part/\(identity.tenant)/\(identity.deviceID)/\(identity.epoch)"
                + "/\(identity.part)").utf8)
    }

    /// RFC 4648, section 5, without padding.
    package static func base64URL(_ bytes: [UInt8]) -> [UInt8] {
        let alphabet = Array(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count * 8 + 5) / 6)
        var bits: UInt32 = 0
        var bitCount = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            bitCount += 8
            while bitCount >= 6 {
                bitCount -= 6
                text.append(alphabet[Int(bits >> UInt32(bitCount)) & 63])
            }
        }
        if bitCount > 0 {
            text.append(alphabet[Int(bits << UInt32(6 - bitCount)) & 63])
        }
        return text
    }
}
