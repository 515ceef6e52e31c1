internal import Crypto
internal import CryptoExtras

/// Makes parts: ZIP archives of one entry under WinZip AES-256, AE-2.
package enum PartSealer {
    /// The whole archive; the entry and the result lie in memory.
    ///
    /// Without a `salt` (16 bytes) a random one is taken, so that sealing again gives other bytes.
    package static func seal(
        _ entry: [UInt8], password: [UInt8], method: CompressionMethod = .deflated,
        salt: [UInt8]? = nil
    ) throws(SealingError) -> [UInt8] {
        let salt = salt ?? randomSalt()
        guard salt.count == ArchiveLayout.saltCount else { throw .saltLength(salt.count) }
        return try seal(
            entry, salt: salt, material: try keyMaterial(password: password, salt: salt),
            method: method)
    }

    /// The whole archive under keys that were derived elsewhere, many at once.
    ///
    /// - Parameters:
    ///   - salt: 16 bytes, never used before with the same password.
    ///   - material: what the password stretches to with this salt: 66 bytes, encryption key,
    ///     authentication key, verifier.
    ///   - effort: how hard deflate tries.
    package static func seal(
        _ entry: [UInt8], salt: [UInt8], material: [UInt8], method: CompressionMethod,
        effort: DeflateEffort = .usual
    ) throws(SealingError) -> [UInt8] {
        guard salt.count == ArchiveLayout.saltCount else { throw .saltLength(salt.count) }
        guard material.count == ArchiveLayout.keyMaterialCount else {
            throw .cryptography("the key material has \(material.count) bytes")
        }
        var ciphertext =
            switch method {
            case .stored: entry
            case .deflated: try Deflater.deflate(entry, effort)
            }
        let zippedCount = ciphertext.count + ArchiveLayout.overheadCount
        guard entry.count < Int(saturated32), zippedCount + 256 < Int(saturated32) else {
            throw .tooLarge(byteCount: max(entry.count, zippedCount))
        }
        try CounterMode.apply(key: SymmetricKey(data: material[..<32]), to: &ciphertext)
        let code = HMAC<Insecure.SHA1>.authenticationCode(
            for: ciphertext, using: SymmetricKey(data: material[32..<64]))

        let fields = EntryFieldsOut(
            method: method, zippedCount: zippedCount, unzippedCount: entry.count)
        var archive: [UInt8] = []
        archive.reserveCapacity(zippedCount + 256)
        fields.appendLocalHeader(to: &archive)
        archive += salt
        archive += material[64...]
        archive += ciphertext
        archive += Array(code)[..<ArchiveLayout.authenticationCodeCount]
        fields.appendDirectory(to: &archive)
        return archive
    }

    private static func randomSalt() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<ArchiveLayout.saltCount).map { _ in generator.next() }
    }

    /// Encryption key, authentication key and verifier.
    private static func keyMaterial(
        password: [UInt8], salt: [UInt8]
    ) throws(SealingError) -> [UInt8] {
        do {
            return try KDF.Insecure.PBKDF2.deriveKey(
                from: password, salt: salt, using: .insecureSHA1,
                outputByteCount: ArchiveLayout.keyMaterialCount,
                unsafeUncheckedRounds: ArchiveLayout.derivationRounds
            ).withUnsafeBytes { Array($0) }
        } catch {
            throw .cryptography("\(error)")
        }
    }
}

/// Writes the records around the entry's data.
private struct EntryFieldsOut {
    let method: CompressionMethod
    let zippedCount: Int
    let unzippedCount: Int

    private var name: [UInt8] { Array(ArchiveLayout.entryName.utf8) }

    func appendLocalHeader(to archive: inout [UInt8]) {
        archive.append32(RecordSignature.localHeader)
        appendShared(to: &archive)
        archive += name
        appendAESField(to: &archive)
    }

    func appendDirectory(to archive: inout [UInt8]) {
        let start = archive.count
        archive.append32(RecordSignature.directoryHeader)
        archive.append16(3 << 8 | Self.version)
        appendShared(to: &archive)
        archive.append16(0)
        archive.append16(0)
        archive.append16(0)
        archive.append32(0o100644 << 16)
        archive.append32(0)
        archive += name
        appendAESField(to: &archive)
        let count = archive.count - start
        archive.append32(RecordSignature.endRecord)
        archive.append32(0)
        archive.append16(1)
        archive.append16(1)
        archive.append32(UInt32(count))
        archive.append32(UInt32(start))
        archive.append16(0)
    }

    private static let version = 51
    private static let aesFieldCount = 11

    /// Version needed to the length of the extra fields. AE-2 leaves the CRC at 0; the time is
    /// the format's first moment, since `sealed_at` says more.
    private func appendShared(to archive: inout [UInt8]) {
        archive.append16(Self.version)
        archive.append16(EntryFlag.encrypted)
        archive.append16(99)
        archive.append16(0)
        archive.append16(1 << 5 | 1)
        archive.append32(0)
        archive.append32(UInt32(zippedCount))
        archive.append32(UInt32(unzippedCount))
        archive.append16(name.count)
        archive.append16(Self.aesFieldCount)
    }

    private func appendAESField(to archive: inout [UInt8]) {
        archive.append16(0x9901)
        archive.append16(Self.aesFieldCount - 4)
        archive.append16(2)
        archive += "AE".utf8
        archive.append(3)
        archive.append16(Int(method.rawValue))
    }
}

extension [UInt8] {
    fileprivate mutating func append16(_ value: Int) {
        append(UInt8(truncatingIfNeeded: value))
        append(UInt8(truncatingIfNeeded: value >> 8))
    }

    fileprivate mutating func append32(_ value: UInt32) {
        append16(Int(value & 0xffff))
        append16(Int(value >> 16))
    }
}
