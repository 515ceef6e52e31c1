import PostgresTesting
import Testing
import WaybillPostgres

@Suite struct PostgresConnectionTests {
    @Test func sendsAndReadsEveryTypeInBinary() async throws {
        try await TestServer.withDatabase(isMigrated: false) { address in
            let connection = try TestServer.connect(address)
            let id = UUIDWords(high: 0x0190_163d_8694_739b, low: 0xaea5_966c_26f8_ad91)
            let row = try connection.query(
                """
                SELECT $1::boolean, $2::smallint, $3::integer, $4::bigint, $5::text, $6::bytea,
                    $7::uuid, $8::timestamptz, $9::jsonb ->> 'a', $7::uuid::text,
                    to_char($8::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'),
                    $10::bigint, $11::text
                """,
                [
                    .bool(true), .int2(-2), .int4(-3), .int8(Int64.min), .text("grüße"),
                    .bytes([0, 1, 255]), .uuid(id), .timestamp(1_700_000_000_123_456),
                    .jsonb(Array(#"{"a": "b"}"#.utf8)), .int8(nil), .text(""),
                ])[0]
            #expect(try row.bool(0))
            #expect(try row.int2(1) == -2)
            #expect(try row.int4(2) == -3)
            #expect(try row.int8(3) == Int64.min)
            #expect(try row.text(4) == "grüße")
            #expect(try row.bytes(5) == [0, 1, 255])
            #expect(try row.uuid(6) == id)
            #expect(try row.timestamp(7) == 1_700_000_000_123_456)
            #expect(try row.text(8) == "b")
            #expect(try row.text(9) == "0190163d-8694-739b-aea5-966c26f8ad91")
            #expect(try row.text(10) == "2023-11-14 22:13:20.123456")
            #expect(try row.int8IfPresent(11) == nil)
            #expect(try row.text(12) == "")
        }
    }

    @Test func sendsArraysWithAndWithoutNulls() async throws {
        try await TestServer.withDatabase(isMigrated: false) { address in
            let connection = try TestServer.connect(address)
            let rows = try connection.query(
                """
                SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::bytea[],
                    $5::timestamptz[], $6::jsonb[], $7::bigint[], $8::smallint[])
                """,
                [
                    .uuids([UUIDWords(high: 1, low: 2), UUIDWords(high: 3, low: 4)]),
                    .int4s([5, 6]), .optionalTexts(["x", nil]), .optionalByteArrays([nil, [7]]),
                    .timestamps([0, 1]), .optionalJSONBs([Array("1".utf8)[...], nil]),
                    .optionalInt8s([nil, 9]), .int2s([1, -1]),
                ])
            #expect(rows.count == 2)
            #expect(try rows[1].uuid(0) == UUIDWords(high: 3, low: 4))
            #expect(try rows[1].int4(1) == 6)
            #expect(rows[1].textIfPresent(2) == nil)
            #expect(rows[0].bytesIfPresent(3) == nil)
            #expect(try rows[1].bytes(3) == [7])
            #expect(try rows[1].timestamp(4) == 1)
            #expect(rows[1].isNull(5))
            #expect(try rows[1].int8(6) == 9)
            #expect(try rows[1].int2(7) == -1)
            let none = try connection.query(
                "SELECT count(*) FROM unnest($1::uuid[])", [.uuids([])])
            #expect(try none[0].int8(0) == 0)
        }
    }

    @Test func keepsTheStateOfARefusedStatementAndGoesOn() async throws {
        try await TestServer.withDatabase(isMigrated: false) { address in
            let connection = try TestServer.connect(address)
            let error = #expect(throws: PostgresError.self) {
                try connection.query("SELECT 1 / $1::integer", [.int4(0)])
            }
            #expect(error?.sqlState == "22012")
            #expect(error?.isRetryable == false)
            #expect(connection.isAlive)
            #expect(try connection.query("SELECT 1 / $1::integer", [.int4(1)])[0].int4(0) == 1)
        }
    }

    @Test func rollsBackWhatASavepointDidAndCommitsTheRest() async throws {
        try await TestServer.withDatabase(isMigrated: false) { address in
            let connection = try TestServer.connect(address)
            try connection.execute("CREATE TABLE public.numbers (n integer PRIMARY KEY)")
            try connection.transaction {
                try connection.execute("INSERT INTO public.numbers VALUES (1)")
                #expect(throws: PostgresError.self) {
                    try connection.savepoint {
                        try connection.execute("INSERT INTO public.numbers VALUES (2)")
                        try connection.savepoint {
                            try connection.execute("INSERT INTO public.numbers VALUES (1)")
                        }
                    }
                }
                try connection.execute("INSERT INTO public.numbers VALUES (3)")
            }
            let sum = try connection.query("SELECT sum(n), count(*) FROM public.numbers")
            #expect(try sum[0].int8(0) == 4)
        }
    }

    @Test func copiesRowsInBinaryAndThrowsThemAwayOnAnError() async throws {
        struct Stop: Error {}
        try await TestServer.withDatabase(isMigrated: false) { address in
            let connection = try TestServer.connect(address)
            try connection.execute("CREATE TABLE public.copied (n bigint PRIMARY KEY, t text)")
            let copied = try connection.copyIn(
                "COPY public.copied FROM STDIN (FORMAT binary)"
            ) { writer in
                for number in 0..<20_000 {
                    try writer.beginRow(columnCount: 2)
                    writer.int8(Int64(number))
                    writer.text("a text that fills several buffers \(number)")
                }
            }
            #expect(copied == 20_000)
            #expect(throws: Stop.self) {
                try connection.copyIn("COPY public.copied FROM STDIN (FORMAT binary)") { writer in
                    try writer.beginRow(columnCount: 2)
                    writer.int8(-1)
                    writer.null()
                    throw Stop()
                }
            }
            let error = #expect(throws: PostgresError.self) {
                try connection.copyIn("COPY public.copied FROM STDIN (FORMAT binary)") { writer in
                    try writer.beginRow(columnCount: 2)
                    writer.int8(5)
                    writer.null()
                }
            }
            #expect(error?.sqlState == "23505")
            let count = try connection.query("SELECT count(*) FROM public.copied")
            #expect(try count[0].int8(0) == 20_000)
        }
    }

    @Test func noticesThatTheServerEndedTheSession() async throws {
        try await TestServer.withDatabase(isMigrated: false) { address in
            let connection = try TestServer.connect(address)
            let other = try TestServer.connect(address)
            #expect(connection.isAlive)
            try other.query(
                "SELECT pg_terminate_backend($1::integer, 5000)",
                [.int4(connection.backendProcessID)])
            #expect(!connection.isAlive)
            let error = #expect(throws: PostgresError.self) {
                try connection.query("SELECT 1::integer")
            }
            #expect(error?.isConnectionLost == true)
            #expect(error?.isRetryable == true)
        }
    }

    @Test func saysThatNobodyAnswers() {
        let error = #expect(throws: PostgresError.self) {
            try TestServer.connect("host=/nowhere/at/all user=nobody dbname=none")
        }
        #expect(error?.isUnavailable == true)
        #expect(error?.description.contains("nowhere") == false)
    }
}
