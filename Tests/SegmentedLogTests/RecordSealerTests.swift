import Crypto
import Testing

@testable import SegmentedLog

@Suite struct RecordSealerTests {
    private let key = SymmetricKey(data: [UInt8](0..<32))

    /// What OpenSSL makes of a message after eight bytes that are left alone: ciphertext and tag.
    private func sealed(
        _ sealer: RecordSealer, _ message: [UInt8], nonce: [UInt8]
    ) throws -> [UInt8] {
        let before: [UInt8] = [9, 9, 9, 9, 9, 9, 9, 9]
        var buffer = before + message + [UInt8](repeating: 0, count: 16)
        try sealer.seal(
            &buffer, from: 8, nonce: nonce, authenticating: [1, 2, 3], [4, 5][...])
        #expect(Array(buffer.prefix(8)) == before)
        return Array(buffer.dropFirst(8))
    }

    @Test(arguments: [0, 1, 15, 16, 17, 1024, 100_000])
    func sealsAsSwiftCryptoDoesRecordAfterRecord(count: Int) throws {
        let sealer = RecordSealer(key: key)
        for number in UInt8(0)..<3 {
            let message = [UInt8](repeating: number, count: count)
            let nonce = [UInt8](repeating: number, count: 12)
            let expected = try AES.GCM.seal(
                message, using: key, nonce: AES.GCM.Nonce(data: nonce),
                authenticating: [1, 2, 3, 4, 5] as [UInt8])
            let found = try sealed(sealer, message, nonce: nonce)
            #expect(found == Array(expected.ciphertext) + Array(expected.tag))
        }
    }

    @Test func refusesAKeyOfAnotherLength() {
        let sealer = RecordSealer(key: SymmetricKey(size: .bits128))
        var buffer = [UInt8](repeating: 0, count: 32)
        #expect(throws: LogError.self) {
            try sealer.seal(
                &buffer, from: 0, nonce: [UInt8](repeating: 0, count: 12), authenticating: [],
                [][...])
        }
    }
}
