import PostgresTesting
import Testing
import WaybillPostgres

@Suite struct PostgresPoolTests {
    private func makePool(_ address: String, threads: Int) throws -> PostgresPool {
        try PostgresPool(
            ConnectionOptions(connectionString: address, applicationName: "pool"),
            threads: threads, waitMax: .milliseconds(500), lengthMax: 4)
    }

    @Test func givesManyCallersFewSessions() async throws {
        try await TestServer.withDatabase(isMigrated: false) { address in
            let pool = try PostgresPool(
                ConnectionOptions(connectionString: address, applicationName: "pool"), threads: 2)
            let sessions = try await withThrowingTaskGroup(of: Int32.self) { group in
                for _ in 0..<100 {
                    group.addTask {
                        try await pool.withConnection { $0.backendProcessID }
                    }
                }
                return try await group.reduce(into: Set<Int32>()) { $0.insert($1) }
            }
            #expect((1...2).contains(sessions.count))
            pool.close()
        }
    }

    @Test func replacesASessionThatTheServerEnded() async throws {
        try await TestServer.withDatabase(isMigrated: false) { address in
            let pool = try makePool(address, threads: 1)
            let first = try await pool.withConnection { $0.backendProcessID }
            try TestServer.connect(address).query(
                "SELECT pg_terminate_backend($1::integer, 5000)", [.int4(first)])
            let second = try await pool.withConnection { $0.backendProcessID }
            #expect(first != second)
            pool.close()
        }
    }

    @Test func failsWorkThatWaitedTooLong() async throws {
        try await TestServer.withDatabase(isMigrated: false) { address in
            let pool = try makePool(address, threads: 1)
            async let long: Void = pool.withConnection {
                try $0.execute("SELECT pg_sleep(2)")
            }
            // The long statement is in the line before this one or on the thread already.
            let error = await #expect(throws: PostgresError.self) {
                while true { try await pool.withConnection { _ in } }
            }
            #expect(error == .unavailable("no session was free in time"))
            try await long
            pool.close()
        }
    }

    @Test func failsAtOnceWhileNobodyAnswers() async throws {
        let pool = try makePool("host=/nowhere/at/all user=nobody dbname=none", threads: 2)
        for _ in 0..<20 {
            let error = await #expect(throws: PostgresError.self) {
                try await pool.withConnection { _ in }
            }
            #expect(error?.isUnavailable == true)
        }
        pool.close()
        await #expect(throws: PostgresError.unavailable("the pool is closed")) {
            try await pool.withConnection { _ in }
        }
    }

    /// A frozen server: statements neither end nor fail.
    @Test func tellsCallersInTimeThoughTheirStatementsDoNotEnd() async throws {
        try await TestServer.withDatabase(isMigrated: false) { address in
            let pool = try PostgresPool(
                ConnectionOptions(
                    connectionString: address, applicationName: "pool", statementTimeout: .zero,
                    lockTimeout: .zero),
                threads: 2, answerMax: .milliseconds(100))
            let blocker = try TestServer.connect(address)
            try blocker.execute("BEGIN; SELECT pg_advisory_xact_lock(7)")
            for _ in 0..<2 {
                await #expect(throws: PostgresError.unavailable("no answer came in time")) {
                    try await pool.withConnection {
                        try $0.execute("SELECT pg_advisory_lock(7)")
                    }
                }
            }
            // Every session is stuck: nobody waits any more.
            await #expect(throws: PostgresError.unavailable("no session answers")) {
                try await pool.withConnection(answerMax: .seconds(3600)) { _ in }
            }
            try blocker.execute("COMMIT")
            var isServed = false
            while !isServed {
                do {
                    try await pool.withConnection(answerMax: .seconds(60)) { _ in }
                    isServed = true
                } catch let error as PostgresError {
                    #expect(error == .unavailable("no session answers"))
                    await Task.yield()
                }
            }
            pool.close()
        }
    }
}
