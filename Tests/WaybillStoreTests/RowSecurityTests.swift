import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillStore

@Suite struct RowSecurityTests {
    private func withTwoTenants(
        _ body: (SettlementFixture, RegisteredDevice, RegisteredDevice) async throws -> Void
    ) async throws {
        try await SettlementFixture.with { fixture in
            let one = try await fixture.makeDevice(tenant: "one")
            let two = try await fixture.makeDevice(tenant: "two")
            _ = try fixture.makeSettler().settle([
                fixture.bundle(of: one), fixture.bundle(of: two),
            ]) { work in
                try work.insert([fixture.row(0, bundle: 0), fixture.row(0, bundle: 1)])
            }
            try await body(fixture, one, two)
        }
    }

    /// How many rows of each table the role sees, in the order tenants, devices, device_keys,
    /// invitations, device_progress, transactions, receipts, audit_events.
    private func visibleCounts(_ connection: PostgresConnection) throws -> [Int64] {
        let row = try connection.query(
            """
            SELECT (SELECT count(*) FROM tenants), (SELECT count(*) FROM devices),
                (SELECT count(*) FROM device_keys), (SELECT count(*) FROM invitations),
                (SELECT count(*) FROM device_progress), (SELECT count(*) FROM transactions),
                (SELECT count(*) FROM receipts), (SELECT count(*) FROM audit_events)
            """)[0]
        return try (0..<8).map { try row.int8($0) }
    }

    @Test func withoutATenantTheApplicationSeesNothing() async throws {
        try await withTwoTenants { fixture, _, _ in
            let connection = try TestServer.connect(fixture.address, role: "waybill_app")
            #expect(try visibleCounts(connection) == Array(repeating: 0, count: 8))
            // Nor after a setting was local to a transaction: it leaves an empty text behind.
            try connection.transaction {
                try connection.execute("SET LOCAL waybill.tenant = '1'")
                #expect(try visibleCounts(connection) != Array(repeating: 0, count: 8))
            }
            #expect(try visibleCounts(connection) == Array(repeating: 0, count: 8))
        }
    }

    @Test func withATenantItSeesThatTenantsRows() async throws {
        try await withTwoTenants { fixture, one, _ in
            let connection = try TestServer.connect(fixture.address, role: "waybill_app")
            try connection.transaction {
                try connection.query(
                    StoreStatements.setScope,
                    [.text(""), .text(String(one.tenant)), .text("")])
                #expect(try visibleCounts(connection) == Array(repeating: 1, count: 8))
            }
        }
    }

    @Test func withADeviceItSeesWhatTheDeviceMayAsk() async throws {
        try await withTwoTenants { fixture, one, _ in
            let connection = try TestServer.connect(fixture.address, role: "waybill_app")
            try connection.transaction {
                try connection.query(
                    StoreStatements.setScope,
                    [.text(""), .text(""), .text(one.deviceID.description)])
                #expect(try visibleCounts(connection) == [0, 1, 0, 0, 1, 0, 1, 0])
            }
        }
    }

    @Test func theServersRoundsSeeNoBusinessData() async throws {
        try await withTwoTenants { fixture, _, _ in
            let connection = try TestServer.connect(fixture.address, role: "waybill_app")
            try connection.transaction {
                try connection.query(
                    StoreStatements.setScope, [.text("server"), .text(""), .text("")])
                #expect(try visibleCounts(connection) == [2, 2, 2, 2, 2, 0, 2, 2])
            }
        }
    }

    @Test func anotherTenantsRowsCannotBeWritten() async throws {
        try await withTwoTenants { fixture, one, two in
            let connection = try TestServer.connect(fixture.address, role: "waybill_app")
            let error = #expect(throws: PostgresError.self) {
                try connection.transaction {
                    try connection.query(
                        StoreStatements.setScope,
                        [.text(""), .text(String(one.tenant)), .text("")])
                    try connection.query(
                        StoreStatements.insertInvitations,
                        [.byteArrays([Digest256.zero.bytes]), .int4(two.tenant), .timestamp(0)])
                }
            }
            #expect(error?.sqlState == "42501")
        }
    }

    @Test(arguments: [
        "DELETE FROM transactions", "DELETE FROM receipts", "DELETE FROM audit_events",
        "UPDATE transactions SET payload = '1'", "SELECT payload FROM transactions",
        "UPDATE receipts SET document = ''", "SELECT token_hash FROM devices",
        "SELECT raw FROM exceptions", "TRUNCATE transactions",
    ])
    func listenersMayNot(_ script: String) async throws {
        try await TestServer.withDatabase { address in
            let connection = try TestServer.connect(address, role: "waybill_ingest")
            let error = #expect(throws: PostgresError.self) {
                try connection.execute(script: script)
            }
            #expect(error?.sqlState == "42501")
        }
    }

    @Test(arguments: [
        "DELETE FROM devices", "DELETE FROM audit_events", "UPDATE audit_events SET kind = ''",
        "UPDATE transactions SET payload = '1'", "INSERT INTO receipts DEFAULT VALUES",
        "UPDATE device_progress SET receipt_seq = 0",
    ])
    func theApplicationMayNot(_ script: String) async throws {
        try await TestServer.withDatabase { address in
            let connection = try TestServer.connect(address, role: "waybill_app")
            let error = #expect(throws: PostgresError.self) {
                try connection.execute(script: script)
            }
            #expect(error?.sqlState == "42501")
        }
    }
}
