import Testing

@testable import WaybillSealing

@Suite struct PartPasswordTests {
    /// The vectors of CONTRACT.md.
    @Test(arguments: [
        (1, "ZPjG_54sxiTbjno3aIKi9a96PRsVw-sy4MWYyOfDrLk"),
        (2, "zrhzgxLaZ_0ecvLWA7Plghs-n0huFEWS4wtcaQ0KvpA"),
    ])
    func givesTheContractsPasswords(part: Int, password: String) {
        let identity = PartIdentity(
            tenant: "acme", deviceID: "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0",
            bundleID: [
                0x01, 0x90, 0x16, 0x3d, 0x86, 0x94, 0x73, 0x9b, 0xae, 0xa5, 0x96, 0x6c, 0x26, 0xf8,
                0xad, 0x91,
            ], epoch: 1, part: part)
        let derived = PartPassword.derive(secret: Array(0..<32), identity: identity)
        #expect(String(decoding: derived, as: UTF8.self) == password)
    }
}
