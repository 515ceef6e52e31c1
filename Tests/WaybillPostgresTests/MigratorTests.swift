import PostgresTesting
import Testing
import WaybillPostgres
import WaybillThreads

@Suite struct MigratorTests {
    private func migration(_ name: String, _ sql: String) throws -> Migration {
        try #require(Migration(name: name, sql: Array(sql.utf8)))
    }

    @Test func appliesEachStepOnce() async throws {
        let first = try migration("0001_create_a", "CREATE TABLE public.a (n integer)")
        let second = try migration("0002_create_b", "CREATE TABLE public.b (n integer)")
        try await TestServer.withDatabase(isMigrated: false) { address in
            let connection = try TestServer.connect(address)
            #expect(try Migrator([first]).migrate(connection) == ["0001_create_a"])
            #expect(try Migrator([first]).migrate(connection) == [])
            #expect(throws: PostgresError.schemaTooOld(database: 1, program: 2)) {
                try Migrator([first, second]).check(connection)
            }
            #expect(try Migrator([first, second]).migrate(connection) == ["0002_create_b"])
            try Migrator([first, second]).check(connection)
        }
    }

    @Test func refusesAnEditedStep() async throws {
        let original = try migration("0001_create_a", "CREATE TABLE public.a (n integer)")
        let edited = try migration("0001_create_a", "CREATE TABLE public.a (n bigint)")
        try await TestServer.withDatabase(isMigrated: false) { address in
            let connection = try TestServer.connect(address)
            try Migrator([original]).migrate(connection)
            #expect(throws: PostgresError.migrationChanged(name: "0001_create_a")) {
                try Migrator([edited]).migrate(connection)
            }
        }
    }

    @Test func refusesASchemaFromANewerProgram() async throws {
        let first = try migration("0001_create_a", "SELECT 1")
        let second = try migration("0002_create_b", "SELECT 1")
        try await TestServer.withDatabase(isMigrated: false) { address in
            let connection = try TestServer.connect(address)
            try Migrator([first, second]).migrate(connection)
            #expect(throws: PostgresError.schemaTooNew(database: 2, program: 1)) {
                try Migrator([first]).migrate(connection)
            }
        }
    }

    @Test func takesBackAStepThatFailsHalfWay() async throws {
        let broken = try migration("0001_create_a", "CREATE TABLE public.a (n int); SELECT 1 / 0")
        let mended = try migration("0001_create_a", "CREATE TABLE public.a (n int)")
        try await TestServer.withDatabase(isMigrated: false) { address in
            let connection = try TestServer.connect(address)
            #expect(throws: PostgresError.self) { try Migrator([broken]).migrate(connection) }
            #expect(try Migrator([mended]).migrate(connection) == ["0001_create_a"])
        }
    }

    @Test func aCurrentSchemaIsFoundSoWhileAnotherProgramMigrates() async throws {
        let first = try migration("0001_create_a", "CREATE TABLE public.a (n integer)")
        let second = try migration("0002_create_b", "CREATE TABLE public.b (n integer)")
        try await TestServer.withDatabase(isMigrated: false) { address in
            let other = try TestServer.connect(address)
            try Migrator([first]).migrate(other)
            try other.query("SELECT pg_advisory_lock(8602290226836827137)")
            let connection = try TestServer.connect(address)
            try connection.execute("SET lock_timeout = '20ms'")
            #expect(try Migrator([first]).migrate(connection) == [])
            let error = #expect(throws: PostgresError.self) {
                try Migrator([first, second]).migrate(connection)
            }
            #expect(error?.sqlState == "55P03")
            #expect(error?.isRetryable == true)
            try other.query("SELECT pg_advisory_unlock_all()")
            #expect(try Migrator([first, second]).migrate(connection) == ["0002_create_b"])
        }
    }

    @Test func letsSeveralProgramsMigrateAtTheSameTime() async throws {
        let slow = try migration(
            "0001_create_a", "CREATE TABLE public.a (n int); SELECT pg_sleep(0.1)")
        try await TestServer.withDatabase(isMigrated: false) { address in
            let results = Monitor<[Result<[String], any Error>]>([])
            let threads = try (0..<4).map { _ in
                try NamedThread(name: "migrate") {
                    let result = Result {
                        try Migrator([slow]).migrate(TestServer.connect(address))
                    }
                    results.update { $0.append(result) }
                }
            }
            for thread in threads { thread.join() }
            let names = try results.withLock { $0 }.flatMap { try $0.get() }
            #expect(names == ["0001_create_a"])
        }
    }
}
