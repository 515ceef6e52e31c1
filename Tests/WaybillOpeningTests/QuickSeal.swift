import ArchiveTesting

@testable import WaybillOpening
@testable import WaybillSealing

/// Seals without stretching a password each time: thousands of authentic parts a second.
enum QuickSeal {
    static let salt = [UInt8](0..<16)
    static let keys = PartKeys.derive(password: Sample.password, salt: salt)

    /// A part of packed bytes, authentic whatever they are.
    static func part(
        _ packed: [UInt8], method: CompressionMethod, declared: Int
    ) throws -> [UInt8] {
        var ciphertext = packed
        var cipher = try CounterCipher(key: keys.encryption, byteCount: packed.count)
        try cipher.apply(to: &ciphertext)
        return ArchiveForge.changed {
            $0.extra = ArchiveForge.aes(method: Int(method.rawValue))
            $0.data = salt + keys.verifier + ciphertext + code(of: ciphertext)
            $0.unzipped = UInt32(declared)
        }
    }

    /// The authentication code of a ciphertext.
    static func code(of ciphertext: [UInt8]) -> [UInt8] {
        var code = MessageCode(key: keys.authentication)
        code.update(ciphertext)
        return Array(code.finish()[..<ArchiveLayout.authenticationCodeCount])
    }

    static func opener(
        _ source: some ArchiveSource & Sendable, limits: OpeningLimits = OpeningLimits()
    ) throws -> PartOpener {
        let layout = try ArchiveStructure.check(source, limits: ArchiveCases.limits)
        return try PartOpener(
            source: source, layout: layout, password: [], keys: keys, limits: limits)
    }
}
