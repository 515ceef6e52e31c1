import Glibc
import Testing
import WaybillModel

@testable import WaybillLoad

@Suite struct FleetFileTests {
    private func withPath(_ body: (String) throws -> Void) throws {
        let path = "/tmp/waybill-fleet-\(UInt64.random(in: .min ... .max)).json"
        defer { unlink(path) }
        try body(path)
    }

    private func mode(_ path: String) throws -> UInt32 {
        var status = stat()
        try #require(stat(path, &status) == 0)
        return status.st_mode & 0o777
    }

    @Test func devicesComeBackAsTheyWereAndNobodyElseMayReadThem() throws {
        try withPath { path in
            let tenant = try #require(TenantSlug("load"))
            let devices = try BundleSupport.devices(3)
            let file = open(path, O_CREAT | O_WRONLY, 0o644)
            close(file)
            try FleetFile(deviceURL: "http://a", tenant: tenant, devices: devices).write(to: path)
            let mode = try mode(path)
            #expect(mode == 0o600)
            let saved = try #require(try FleetFile.read(path))
            #expect(saved.deviceURL == "http://a")
            #expect(saved.tenant == tenant)
            #expect(saved.devices.map(\.deviceID) == devices.map(\.deviceID))
            #expect(saved.devices.map(\.secret) == devices.map(\.secret))
            #expect(saved.devices.map(\.token) == devices.map(\.token))
            #expect(saved.devices.map(\.epoch) == [3, 3, 3])
        }
    }

    @Test func noFileIsNoFleetAndAnotherFileIsAnError() throws {
        try withPath { path in
            let none = try FleetFile.read(path)
            #expect(none == nil)
            let file = open(path, O_CREAT | O_WRONLY, 0o600)
            #expect(write(file, "{}", 2) == 2)
            close(file)
            #expect(throws: FleetFault.self) { try FleetFile.read(path) }
        }
    }
}
