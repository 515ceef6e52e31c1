internal import Subprocess
internal import SystemPackage

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// A PostgreSQL of the server's own, for development and small installations.
///
/// It listens on a Unix socket only, in a directory that nobody else may enter; there is no password.
/// It is a process of its own and survives a killed server: the next start adopts it.
package struct PrivatePostgres: Sendable {
    /// What libpq connects with.
    package let connectionString: String
    /// Directory of its files; see ``PrivatePostgresPlace``.
    package let location: String
    /// It was running already.
    package let isAdopted: Bool

    let programs: PostgresPrograms
    let place: PrivatePostgresPlace

    /// Starts the server, making its files on first use, or adopts the one that runs.
    ///
    /// - Parameters:
    ///   - dataDirectory: where its files are to lie. When root starts it, the server runs as the
    ///     user `postgres`; a directory that this user cannot reach is replaced by one under
    ///     `/var/lib/waybill`, and the file `LOCATION` in `dataDirectory` says which.
    ///   - settings: lines of `postgresql.conf` that replace the defaults, values quoted as there.
    /// - Throws: ``PostgresError/programMissing(_:)`` and ``PostgresError/privateServer(_:)``; the
    ///   texts tell a person what to do.
    package static func start(
        dataDirectory: String, settings: [String: String] = [:]
    ) async throws(PostgresError) -> PrivatePostgres {
        let place = try PrivatePostgresPlace(dataDirectory: dataDirectory)
        let programs = try PostgresPrograms.find(forVersion: place.existingVersion)
        if place.existingVersion == nil { try await initialize(place, programs) }
        let isRunning = try await answers(place, programs)
        if !isRunning {
            try place.writeConfiguration(settings)
            try await launch(place, programs)
        }
        let connectionString = place.connectionString(database: "waybill")
        try createDatabase(place)
        return PrivatePostgres(
            connectionString: connectionString, location: place.directory, isAdopted: isRunning,
            programs: programs, place: place)
    }

    /// Stops the server: open transactions are rolled back, everything committed is on disk. One that
    /// does not run has stopped.
    package func stop() async throws(PostgresError) {
        let result = try await Self.run(
            programs.control,
            ["stop", "-D", place.clusterDirectory, "-m", "fast", "-w", "-t", "60"],
            as: place.user)
        guard result.isSuccess || !isRunning else {
            throw .privateServer("cannot stop the private PostgreSQL: \(result.lastLine)")
        }
    }

    private static func initialize(
        _ place: PrivatePostgresPlace, _ programs: PostgresPrograms
    ) async throws(PostgresError) {
        place.removeDrafts()
        let draft = place.newDraft()
        let result = try await run(
            programs.initialize,
            [
                "-D", draft, "-U", "waybill", "-A", "trust", "-E", "UTF8",
                "--no-locale", "--data-checksums",
            ], as: place.user)
        guard result.isSuccess else {
            throw .privateServer(
                "cannot make a PostgreSQL cluster in \(place.directory): \(result.lastLine)")
        }
        try place.adopt(draft)
    }

    /// True if a server of this cluster runs and answers; false if there is none.
    ///
    /// One that runs and does not answer is about to start or to end: which one shows soon.
    static func answers(
        _ place: PrivatePostgresPlace, _ programs: PostgresPrograms
    ) async throws(PostgresError) -> Bool {
        var lastError = PostgresError.unavailable("not asked yet")
        for _ in 0..<100 {
            let status = try await run(
                programs.control, ["status", "-D", place.clusterDirectory], as: place.user)
            guard status.isSuccess else { return false }
            do {
                _ = try PostgresConnection(
                    ConnectionOptions(
                        connectionString: place.connectionString(database: "postgres"),
                        applicationName: "waybill start"))
                return true
            } catch {
                lastError = error
            }
            do {
                try await Task.sleep(for: .milliseconds(100))
            } catch {
                throw .unavailable("the start was cancelled")
            }
        }
        throw .privateServer(
            "the private PostgreSQL in \(place.directory) runs and does not answer: \(lastError)")
    }

    static func launch(
        _ place: PrivatePostgresPlace, _ programs: PostgresPrograms
    ) async throws(PostgresError) {
        // pg_ctl puts the server into a session of its own: a terminal's ^C does not reach it. It also
        // recognises the lock file of a server that was killed.
        let result = try await run(
            programs.control,
            [
                "start", "-D", place.clusterDirectory, "-l", place.logFile, "-w", "-t", "120", "-s",
            ], as: place.user)
        guard result.isSuccess else {
            throw .privateServer(
                "the private PostgreSQL does not start (see \(place.logFile)): \(result.lastLine)")
        }
    }

    private static func createDatabase(_ place: PrivatePostgresPlace) throws(PostgresError) {
        let connection = try PostgresConnection(
            ConnectionOptions(
                connectionString: place.connectionString(database: "postgres"),
                applicationName: "waybill start"))
        let found = try connection.query("SELECT FROM pg_database WHERE datname = 'waybill'")
        if found.count == 0 { try connection.execute("CREATE DATABASE waybill") }
    }

    private struct ProgramResult {
        let isSuccess: Bool
        let lastLine: String
    }

    private static func run(
        _ program: String, _ arguments: [String], as user: ServerUser?
    ) async throws(PostgresError) -> ProgramResult {
        var command = [program] + arguments
        if let user {
            // Not the library's own change of user: that calls setgroups between fork and exec,
            // which waits for ever when the process has other threads (glibc, nptl_setxid.c).
            command =
                [
                    "/usr/bin/setpriv", "--reuid=\(user.userID)", "--regid=\(user.groupID)",
                    "--clear-groups", "--",
                ] + command
        }
        do {
            let result = try await Subprocess.run(
                .path(FilePath(command[0])), arguments: Arguments(Array(command.dropFirst())),
                environment: .inherit.updating(["LC_ALL": "C"]), workingDirectory: FilePath("/"),
                output: .string(limit: 1 << 20),
                error: .string(limit: 1 << 20))
            let said = result.standardError.isEmpty ? result.standardOutput : result.standardError
            return ProgramResult(
                isSuccess: result.terminationStatus.isSuccess,
                lastLine: said.split(separator: "\n").last.map(String.init) ?? "no message")
        } catch {
            throw .privateServer("cannot run \(program): \(error)")
        }
    }
}

/// Where the programs of one PostgreSQL version lie.
struct PostgresPrograms {
    private let directory: String

    var initialize: String { directory + "/initdb" }
    var control: String { directory + "/pg_ctl" }

    /// Looks where Debian keeps them, then in `PATH`.
    ///
    /// - Parameter version: major version that the files on disk need; nil for the newest.
    static func find(forVersion version: Int?) throws(PostgresError) -> PostgresPrograms {
        let root = "/usr/lib/postgresql"
        let versions = FileSystem.entries(of: root).compactMap(Int.init).sorted(by: >)
        for candidate in versions where version == nil || version == candidate {
            let directory = "\(root)/\(candidate)/bin"
            if FileSystem.isExecutable(directory + "/initdb"),
                FileSystem.isExecutable(directory + "/pg_ctl")
            {
                return PostgresPrograms(directory: directory)
            }
        }
        for directory in FileSystem.searchPath
        where FileSystem.isExecutable(directory + "/initdb")
            && FileSystem.isExecutable(directory + "/pg_ctl")
        {
            return PostgresPrograms(directory: directory)
        }
        let package = version.map { "postgresql-\($0)" } ?? "postgresql"
        throw .programMissing(
            "PostgreSQL's programs (initdb, pg_ctl) are not installed: install the Debian package "
                + "\(package), or give the address of a database with --database-url")
    }
}
