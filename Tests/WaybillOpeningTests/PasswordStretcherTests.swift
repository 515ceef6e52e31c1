import ArchiveTesting
import CLibcrypto
import Testing

@testable import WaybillOpening

@Suite struct PasswordStretcherTests {
    private struct Input {
        let password: [UInt8]
        let salt: [UInt8]
    }

    /// What OpenSSL makes of an input.
    private func reference(_ input: Input, rounds: Int, count: Int) -> [UInt8] {
        var key = [UInt8](repeating: 0, count: count)
        let isDone = input.password.withUnsafeBytes { password in
            PKCS5_PBKDF2_HMAC(
                password.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(password.count),
                input.salt, Int32(input.salt.count), Int32(rounds), EVP_sha1(), Int32(count), &key)
        }
        #expect(isDone == 1)
        return key
    }

    private func inputs(_ count: Int, _ random: inout SeededGenerator) -> [Input] {
        (0..<count).map { _ in
            let sizes = (
                Int.random(in: 1...130, using: &random), Int.random(in: 1...40, using: &random)
            )
            return Input(
                password: (0..<sizes.0).map { _ in .random(in: .min ... .max, using: &random) },
                salt: (0..<sizes.1).map { _ in .random(in: .min ... .max, using: &random) })
        }
    }

    /// Numbers of inputs that fill all lanes, leave some over, and need several turns.
    @Test(arguments: [1, 2, 3, 4, 5, 8, 33])
    func givesWhatOpenSSLGivesInEveryWayThatThisMachineHas(count: Int) {
        var random = SeededGenerator(seed: UInt64(count))
        for (rounds, bytes) in [(1, 66), (2, 20), (7, 1), (50, 21), (1000, 66)] {
            let inputs = inputs(count, &random)
            let expected = inputs.map { reference($0, rounds: rounds, count: bytes) }
            for stretcher in PasswordStretcher.all {
                let keys = stretcher.stretch(
                    inputs.map { (password: $0.password, salt: $0.salt) }, rounds: rounds,
                    count: bytes)
                #expect(keys == expected)
            }
        }
    }

    @Test func nothingGivesNothing() {
        for stretcher in PasswordStretcher.all {
            #expect(stretcher.stretch([], rounds: 1000, count: 66).isEmpty)
        }
    }

    @Test func thereIsAlwaysAWay() {
        #expect(!PasswordStretcher.all.isEmpty)
    }
}
