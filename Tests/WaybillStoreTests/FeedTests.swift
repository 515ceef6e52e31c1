import PostgresTesting
import Synchronization
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillStore

/// Where a reader of `waybill.feed` stands.
private struct Place {
    var position = "0"
    var tenant: Int32 = 0
    var id = UUIDWords(high: 0, low: 0)
}

/// Reads `waybill.feed` as the article "Feed" says, under the role for it.
private struct FeedReader {
    let connection: PostgresConnection
    var place = Place()
    var seen: [UUIDWords: Int] = [:]

    /// The statement of the article.
    static let page: PostgresStatement =
        """
        SELECT position::text, tenant_id, id FROM waybill.feed
        WHERE (position, tenant_id, id) > ($1::text::xid8, $2::integer, $3::uuid)
            AND position < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY position, tenant_id, id LIMIT $4::bigint
        """

    init(_ address: String) throws {
        connection = try TestServer.connect(address, role: "waybill_reader")
    }

    /// Reads one page; how many rows it had.
    @discardableResult
    mutating func read(limit: Int64 = 7) throws -> Int {
        let rows = try connection.query(
            Self.page,
            [.text(place.position), .int4(place.tenant), .uuid(place.id), .int8(limit)])
        for row in rows.rows {
            place = Place(
                position: try row.text(0), tenant: try row.int4(1), id: try row.uuid(2))
            seen[place.id, default: 0] += 1
        }
        return rows.count
    }

    mutating func readAll() throws {
        while try read() > 0 {}
    }

    /// Everything that was committed before the call, whoever else keeps the server busy.
    mutating func readAllCommitted(limit: Int64 = 7) async throws {
        try await TestServer.waitForOlderTransactions(over: connection)
        while try read(limit: limit) > 0 {}
    }
}

private final class Flag: Sendable {
    private let value = Atomic(true)

    var isSet: Bool { value.load(ordering: .acquiring) }

    func clear() { value.store(false, ordering: .releasing) }
}

@Suite(.timeLimit(.minutes(3))) struct FeedTests {
    private static let insert: PostgresStatement =
        """
        INSERT INTO waybill.transactions (tenant_id, id, device_id, bundle_id, bundle_index,
            occurred_at, offset_minutes, content_key, content_hash, type, payload)
        SELECT $2::integer, w.id, gen_random_uuid(), gen_random_uuid(), 0, now(), 0, 1, sha256(''),
            't', '{}'
        FROM unnest($1::uuid[]) AS w (id) ORDER BY 2
        """

    private func ids(_ count: Int) -> [UUIDWords] {
        (0..<count).map { _ in TransactionID.random().words }
    }

    @Test func aReaderSeesEachRowOfConcurrentWritersExactlyOnce() async throws {
        try await SettlementFixture.with { fixture in
            let tenant = try await fixture.makeDevice().tenant
            let address = fixture.address
            // One writer holds its transaction open over everything that the others commit.
            let slow = try TestServer.connect(address)
            let slowIDs = ids(20)
            try slow.execute(script: "BEGIN")
            try slow.query(Self.insert, [.uuids(slowIDs), .int4(tenant)])
            let fast = Flag()
            async let early = Self.read(address, while: fast, toTheEnd: false)
            var written = try await Self.write(address, tenant)
            fast.clear()
            // Nothing is told while the oldest transaction may still add something before it.
            #expect(try await early.isEmpty)
            // From here on the reader runs beside writers that end all of their transactions.
            let more = Flag()
            async let late = Self.read(address, while: more, toTheEnd: true)
            try slow.execute(script: "COMMIT")
            written += try await Self.write(address, tenant) + slowIDs
            more.clear()
            let read = try await late
            #expect(Set(read.keys) == Set(written))
            #expect(read.values.allSatisfy { $0 == 1 })
        }
    }

    /// Four writers at once, some of whose transactions are rolled back; what they committed.
    private static func write(_ address: String, _ tenant: Int32) async throws -> [UUIDWords] {
        try await withThrowingTaskGroup(of: [UUIDWords].self) { group in
            for writer in 0..<4 {
                group.addTask {
                    let connection = try TestServer.connect(address)
                    var all: [UUIDWords] = []
                    for round in 0..<60 {
                        let ids = (0..<(1 + (round * 7 + writer) % 23)).map { _ in
                            TransactionID.random().words
                        }
                        try connection.execute(script: "BEGIN")
                        try connection.query(Self.insert, [.uuids(ids), .int4(tenant)])
                        if round % 5 == writer {
                            try connection.execute(script: "ROLLBACK")
                        } else {
                            try connection.execute(script: "COMMIT")
                            all += ids
                        }
                        await Task.yield()
                    }
                    return all
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
    }

    /// Reads until `flag` is cleared, and then what is left; how often each id was told.
    private static func read(
        _ address: String, while flag: Flag, toTheEnd: Bool
    ) async throws -> [UUIDWords: Int] {
        var reader = try FeedReader(address)
        while flag.isSet {
            try reader.readAll()
            try await Task.sleep(for: .milliseconds(1))
        }
        if toTheEnd { try await reader.readAllCommitted() }
        try reader.readAll()
        return reader.seen
    }

    @Test func readsWhileWritersCommitInAnyOrder() async throws {
        try await SettlementFixture.with { fixture in
            let tenant = try await fixture.makeDevice().tenant
            var reader = try FeedReader(fixture.address)
            var open: [(PostgresConnection, [UUIDWords])] = []
            var committed: Set<UUIDWords> = []
            var generator = SystemRandomNumberGenerator()
            for _ in 0..<200 {
                if open.count < 6, Bool.random(using: &generator) {
                    let connection = try TestServer.connect(fixture.address)
                    let ids = ids(Int.random(in: 1...12, using: &generator))
                    try connection.execute(script: "BEGIN")
                    try connection.query(Self.insert, [.uuids(ids), .int4(tenant)])
                    open.append((connection, ids))
                } else if !open.isEmpty {
                    let (connection, ids) = open.remove(
                        at: Int.random(in: open.indices, using: &generator))
                    try connection.execute(script: "COMMIT")
                    committed.formUnion(ids)
                }
                try reader.read(limit: Int64.random(in: 1...9, using: &generator))
                #expect(Set(reader.seen.keys).isSubset(of: committed))
            }
            for (connection, ids) in open {
                try connection.execute(script: "COMMIT")
                committed.formUnion(ids)
            }
            try await reader.readAllCommitted()
            #expect(Set(reader.seen.keys) == committed)
            #expect(reader.seen.values.allSatisfy { $0 == 1 })
        }
    }

    @Test func oneIdOfTwoTenantsInOneCommitIsToldTwice() async throws {
        try await SettlementFixture.with { fixture in
            let one = try await fixture.makeDevice(tenant: "one")
            let two = try await fixture.makeDevice(tenant: "two")
            let shared = TransactionID.random()
            _ = try fixture.makeSettler().settle([
                fixture.bundle(of: one), fixture.bundle(of: two),
            ]) { work in
                try work.insert([
                    fixture.row(0, id: shared, bundle: 0), fixture.row(0, id: shared, bundle: 1),
                ])
            }
            var reader = try FeedReader(fixture.address)
            try await reader.readAllCommitted(limit: 1)
            #expect(reader.seen == [shared.words: 2])
        }
    }

    @Test func tellsWhatTheDeviceSent() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            _ = try fixture.settle(
                fixture.bundle(of: device), [fixture.row(3, content: #"{"rooms":3}"#)],
                by: fixture.makeSettler())
            let reader = try TestServer.connect(fixture.address, role: "waybill_reader")
            let row = try reader.query(
                """
                SELECT tenant, device_id, bundle_index, type, offset_minutes, payload ->> 'rooms',
                    content_type, body, actor, emptied_at, settled_at, occurred_at
                FROM waybill.feed
                """)[0]
            #expect(try row.text(0) == "acme")
            #expect(DeviceID(try row.uuid(1)) == device.deviceID)
            #expect(try row.int4(2) == 3)
            #expect(try row.text(3) == "visit.completed")
            #expect(try row.int2(4) == 60)
            #expect(try row.text(5) == "3")
            for column in 6...9 { #expect(row.isNull(column)) }
            #expect(try row.timestamp(11) == 1_700_000_000_000_000)
        }
    }

    @Test(arguments: [
        "SELECT content_hash FROM waybill.transactions", "SELECT * FROM waybill.receipts",
        "SELECT * FROM waybill.devices", "SELECT * FROM waybill.audit_events",
        "SELECT created_at FROM waybill.tenants", "DELETE FROM waybill.feed",
        "UPDATE waybill.feed SET type = ''", "INSERT INTO waybill.feed DEFAULT VALUES",
        "UPDATE waybill.transactions SET type = ''", "TRUNCATE waybill.transactions",
        "SELECT waybill.trace_transaction(gen_random_uuid())",
    ])
    func theReaderMayNot(_ script: String) async throws {
        try await TestServer.withDatabase { address in
            let connection = try TestServer.connect(address, role: "waybill_reader")
            let error = #expect(throws: PostgresError.self) {
                try connection.execute(script: script)
            }
            // 55000: a view over a join takes no changes from anybody.
            #expect(["42501", "55000"].contains(error?.sqlState))
        }
    }

    @Test func theServersOwnRolesSeeTheFeedOnlyWithinTheirScope() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            _ = try fixture.settle(
                fixture.bundle(of: device), [fixture.row(0)], by: fixture.makeSettler())
            for role in ["waybill_app", "waybill_ingest"] {
                let connection = try TestServer.connect(fixture.address, role: role)
                let error = #expect(throws: PostgresError.self) {
                    try connection.query("SELECT id FROM waybill.feed")
                }
                #expect(error?.sqlState == "42501")
            }
        }
    }

    @Test func aRestrictivePolicyKeepsAReaderToItsTenants() async throws {
        try await SettlementFixture.with { fixture in
            for name in ["one", "two"] {
                let device = try await fixture.makeDevice(tenant: name)
                _ = try fixture.settle(
                    fixture.bundle(of: device), [fixture.row(0)], by: fixture.makeSettler())
            }
            let owner = try TestServer.connect(fixture.address)
            // Roles belong to the cluster, databases of other tests included.
            let role = "reader_of_\(fixture.address.hash(into: 0))"
            try owner.execute(script: "DROP ROLE IF EXISTS \(role)")
            try owner.execute(
                script: """
                    CREATE ROLE \(role) IN ROLE waybill_reader;
                    CREATE POLICY of_one ON waybill.transactions AS RESTRICTIVE FOR SELECT
                        TO \(role) USING (tenant_id = 1);
                    CREATE POLICY of_one ON waybill.tenants AS RESTRICTIVE FOR SELECT
                        TO \(role) USING (tenant_id = 1);
                    """)
            let reader = try TestServer.connect(fixture.address, role: role)
            let rows = try reader.query("SELECT tenant FROM waybill.feed")
            #expect(try rows.rows.map { try $0.text(0) } == ["one"])
            try owner.execute(script: "DROP OWNED BY \(role); DROP ROLE \(role)")
        }
    }

    @Test func aPageIsReadFromTheIndexAndNotFromAll() async throws {
        try await SettlementFixture.with { fixture in
            let tenant = try await fixture.makeDevice().tenant
            let owner = try TestServer.connect(fixture.address)
            for _ in 0..<40 {
                try owner.query(Self.insert, [.uuids(ids(500)), .int4(tenant)])
            }
            try owner.execute(script: "ANALYZE waybill.transactions")
            let middle = try owner.query(
                "SELECT position::text FROM waybill.feed ORDER BY position OFFSET 10000 LIMIT 1")[0]
                .text(0)
            let reader = try TestServer.connect(fixture.address, role: "waybill_reader")
            try await TestServer.waitForOlderTransactions(over: owner)
            let plan = try reader.query(
                """
                EXPLAIN SELECT * FROM waybill.feed
                WHERE (position, tenant_id, id) > ($1::text::xid8, 1,
                        '00000000-0000-0000-0000-000000000000')
                    AND position < pg_snapshot_xmin(pg_current_snapshot())
                ORDER BY position, tenant_id, id LIMIT 100
                """, [.text(middle)]
            ).rows.map { try $0.text(0) }.joined(separator: "\n")
            #expect(plan.contains("transactions_by_feed"), "\(plan)")
            #expect(plan.contains("Incremental Sort"), "\(plan)")
        }
    }
}

extension String {
    /// A number that differs from text to text; not across processes.
    fileprivate func hash(into seed: UInt64) -> UInt64 {
        utf8.reduce(seed &+ 14_695_981_039_346_656_037) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
    }
}
