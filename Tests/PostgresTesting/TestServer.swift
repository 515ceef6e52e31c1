internal import Glibc
internal import Migrations
internal import Synchronization
package import WaybillPostgres

/// The PostgreSQL that tests run against: the one that `WAYBILL_TEST_DATABASE_URL` names, or a private
/// one that lives as long as the test process.
package enum TestServer {
    /// Connects as an owner who may make databases; some database of the server.
    package static var connectionString: String {
        get async throws { try await started.value.connectionString }
    }

    /// A database of its own for one test; dropped afterwards.
    ///
    /// - Parameter isMigrated: with the schema of this program, else empty.
    package static func withDatabase<Value>(
        isMigrated: Bool = true, _ body: (String) async throws -> Value
    ) async throws -> Value {
        let server = try await started.value
        let name = "test_\(getpid())_\(lastNumber.add(1, ordering: .relaxed).newValue)"
        let template = isMigrated ? try await migratedTemplate.value : "template0"
        try server.administer("CREATE DATABASE \(name) TEMPLATE \(template)")
        let result: Result<Value, any Error>
        do {
            result = .success(try await body(server.connectionString(database: name)))
        } catch {
            result = .failure(error)
        }
        try server.administer("DROP DATABASE \(name) WITH (FORCE)")
        return try result.get()
    }

    /// A session with defaults that suit tests.
    package static func connect(
        _ connectionString: String, role: String? = nil
    ) throws -> PostgresConnection {
        try PostgresConnection(
            ConnectionOptions(
                connectionString: connectionString, applicationName: "waybill tests", role: role))
    }

    /// Waits until every transaction of the server that has begun by now has ended: other tests run
    /// beside this one, and hold back what readers behind the oldest transaction may see.
    package static func waitForOlderTransactions(over connection: PostgresConnection) async throws {
        let horizon = try connection.query("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")[
            0
        ]
        .text(0)
        while try connection.query(
            "SELECT (pg_snapshot_xmin(pg_current_snapshot()) >= $1::text::xid8)::text",
            [.text(horizon)])[0].text(0) != "true"
        {
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Removes a directory that a test has made, under `/tmp` or `/var/lib/waybill`.
    package static func remove(_ directory: String) {
        precondition(
            directory.hasPrefix("/tmp/waybill-") || directory.hasPrefix("/var/lib/waybill/"))
        run("rm -rf '\(directory)'")
    }

    private static let lastNumber = Atomic<Int>(0)

    // Started once for all tests of the process, whichever comes first.
    private static let started = Task { try await Running.start() }

    private static let migratedTemplate = Task {
        let server = try await started.value
        let name = "template_\(getpid())"
        try server.administer("CREATE DATABASE \(name) TEMPLATE template0")
        let migrations = Migrations.all.compactMap { Migration(name: $0.name, sql: $0.sql) }
        try Migrator(migrations).migrate(try connect(server.connectionString(database: name)))
        return name
    }
}

private struct Running: Sendable {
    let connectionString: String

    static func start() async throws -> Running {
        if let value = getenv("WAYBILL_TEST_DATABASE_URL") {
            return Running(connectionString: String(cString: value))
        }
        let directory = "/tmp/waybill-tests-\(getpid())"
        let server = try await PrivatePostgres.start(
            dataDirectory: directory,
            settings: [
                "fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB",
                // All tests at once, each with a server's pools.
                "max_connections": "1000",
            ])
        cleanUpAtExit(location: server.location)
        return Running(connectionString: server.connectionString)
    }

    func connectionString(database: String) -> String {
        guard connectionString.hasPrefix("postgres") else {
            return connectionString + " dbname=\(database)"
        }
        // postgresql://authority/database?parameters
        var parts = connectionString.split(separator: "?", maxSplits: 1)
        let authority = parts[0].split(separator: "/", omittingEmptySubsequences: false).prefix(3)
        parts[0] = Substring(authority.joined(separator: "/") + "/" + database)
        return parts.joined(separator: "?")
    }

    func administer(_ script: String) throws {
        try TestServer.connect(connectionString).execute(script: script)
    }
}

/// What the handler at exit reads; set once, before the handler is installed.
private let leftBehind = Mutex<String?>(nil)

/// Ends the server at once and removes its files when the process exits.
private func cleanUpAtExit(location: String) {
    leftBehind.withLock { $0 = location }
    atexit {
        guard let location = leftBehind.withLock({ $0 }) else { return }
        run("kill -QUIT $(head -1 '\(location)/cluster/postmaster.pid')")
        run("rm -rf '\(location)'")
    }
}

/// Runs a line of shell and waits for it; an exiting process has nobody to tell of a failure.
private func run(_ command: String) {
    var child = pid_t()
    var arguments: [UnsafeMutablePointer<CChar>?] = [
        strdup("/bin/sh"), strdup("-c"), strdup(command), nil,
    ]
    defer { for argument in arguments { free(argument) } }
    guard posix_spawn(&child, "/bin/sh", nil, nil, &arguments, environ) == 0 else { return }
    waitpid(child, nil, 0)
}
