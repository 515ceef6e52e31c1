import Testing

@testable import WaybillOpening
@testable import WaybillSealing

@Suite struct PartPasswordSpeedTests {
    @Test func givesTheSamePasswordsAsThePortableWay() {
        for number in 1...100 {
            var generator = SystemRandomNumberGenerator()
            let secret = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let identity = PartIdentity(
                tenant: "acme-\(number)", deviceID: "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0",
                bundleID: (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) },
                epoch: number, part: 1001 - number)
            #expect(
                PartPassword.deriveAtSpeed(secret: secret, identity: identity)
                    == PartPassword.derive(secret: secret, identity: identity),
                "secret \(secret), identity \(identity)")
        }
    }
}
