#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The unprivileged user that the server runs as when root starts it.
struct ServerUser: Sendable {
    let userID: uid_t
    let groupID: gid_t
}

/// Where a private server's files lie: cluster, socket, log.
///
/// Two things can be in the way of the directory asked for. A server that root starts runs as another
/// user, who may not be able to reach it. And the address of a Unix socket ends at 107 bytes.
struct PrivatePostgresPlace: Sendable {
    /// Holds everything but, if its path is too long, the socket.
    let directory: String
    let socketDirectory: String
    /// Nil to run as whoever this process is.
    let user: ServerUser?

    var clusterDirectory: String { directory + "/cluster" }
    var logFile: String { directory + "/postgres.log" }

    /// Finds a place that works and makes its directories, mode 0700.
    init(dataDirectory: String) throws(PostgresError) {
        let wanted = try FileSystem.absolute(dataDirectory)
        user = geteuid() == 0 ? try Self.unprivilegedUser() : nil
        try FileSystem.makeDirectories(wanted)
        directory = Self.directory(wanted, user)
        if directory != wanted {
            try FileSystem.makeDirectories(Self.substituteRoot, mode: 0o755)
            try FileSystem.makeDirectories(directory)
            try FileSystem.write(directory + "\n", to: wanted + "/LOCATION", mode: 0o644)
        }
        try FileSystem.give(directory, to: user)
        socketDirectory = Self.socketDirectory(for: directory)
        try FileSystem.makeDirectories(socketDirectory)
        try FileSystem.give(socketDirectory, to: user)
    }

    /// The place that ``init(dataDirectory:)`` chose when it was called; makes and changes nothing.
    init(existingIn dataDirectory: String) throws(PostgresError) {
        let wanted = try FileSystem.absolute(dataDirectory)
        user = geteuid() == 0 ? try Self.unprivilegedUser() : nil
        directory = Self.directory(wanted, user)
        socketDirectory = Self.socketDirectory(for: directory)
    }

    private static let substituteRoot = "/var/lib/waybill"

    private static func directory(_ wanted: String, _ user: ServerUser?) -> String {
        guard let user, !FileSystem.isReachable(wanted, for: user) else { return wanted }
        return substituteRoot + "/" + name(of: wanted)
    }

    private static func socketDirectory(for directory: String) -> String {
        let near = directory + "/socket"
        // The server adds "/.s.PGSQL.5432", and its lock file's name ".lock" to that.
        return near.utf8.count + 20 <= 107 ? near : "/tmp/waybill-" + name(of: directory)
    }

    /// Major version of the cluster that is there; nil if there is none.
    var existingVersion: Int? {
        FileSystem.read(clusterDirectory + "/PG_VERSION").flatMap { text in
            Int(text.prefix { $0.isNumber })
        }
    }

    /// A name for a cluster that is being made. A start that dies leaves it behind, and what it
    /// started may still be at work there: so no other start has the same one.
    func newDraft() -> String {
        clusterDirectory + Self.draftSuffix + String(UInt64.random(in: .min ... .max), radix: 16)
    }

    /// Removes clusters that were never finished. One that cannot be removed is in nobody's way.
    func removeDrafts() {
        let start = "cluster" + Self.draftSuffix
        for name in FileSystem.entries(of: directory) where name.hasPrefix(start) {
            try? FileSystem.removeAll(directory + "/" + name)
        }
    }

    /// Gives a finished cluster its name; durable on return.
    func adopt(_ draft: String) throws(PostgresError) {
        try FileSystem.rename(draft, to: clusterDirectory)
        try FileSystem.syncDirectory(directory)
    }

    private static let draftSuffix = ".new-"

    func connectionString(database: String) -> String {
        let host = socketDirectory.replacing("\\", with: "\\\\").replacing("'", with: "\\'")
        return "host='\(host)' port=5432 user=waybill dbname=\(database) sslmode=disable"
    }

    /// Writes the settings that the next start takes; initdb's own file only includes this one.
    func writeConfiguration(_ settings: [String: String]) throws(PostgresError) {
        let socket = socketDirectory.replacing("'", with: "''")
        var values = [
            "listen_addresses": "''",
            "unix_socket_directories": "'\"\(socket)\"'",
            "unix_socket_permissions": "0700",
            "port": "5432",
            // 256 listeners, the pool, and somebody with psql.
            "max_connections": "300",
            "shared_buffers": "256MB",
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "wal_compression": "on",
            "max_wal_size": "2GB",
            "checkpoint_timeout": "15min",
            "checkpoint_completion_target": "0.9",
            "jit": "off",
            "timezone": "'UTC'",
            "log_timezone": "'UTC'",
            "log_min_messages": "warning",
            // Statements carry no values, but errors quote them: they stay out of the log.
            "log_min_error_statement": "panic",
            "log_parameter_max_length_on_error": "0",
            "log_error_verbosity": "terse",
        ]
        values.merge(settings) { $1 }
        let lines = values.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)\n" }
        let path = clusterDirectory + "/waybill.conf"
        try FileSystem.write(
            "# Written at each start; changes are lost.\n" + lines.joined(), to: path, mode: 0o600)
        try FileSystem.give(path, to: user)
        let main = clusterDirectory + "/postgresql.conf"
        guard let text = FileSystem.read(main) else {
            throw .privateServer("cannot read \(main) (errno \(errno))")
        }
        let include = "include 'waybill.conf'"
        if !text.contains(include) {
            try FileSystem.write(text + "\n" + include + "\n", to: main, mode: 0o600)
            try FileSystem.give(main, to: user)
        }
    }

    private static func unprivilegedUser() throws(PostgresError) -> ServerUser {
        guard let entry = unsafe getpwnam("postgres") else {
            throw .programMissing(
                "PostgreSQL refuses to run as root and there is no user postgres: install the "
                    + "Debian package postgresql, start as another user, or give the address of a "
                    + "database with --database-url")
        }
        return unsafe ServerUser(userID: entry.pointee.pw_uid, groupID: entry.pointee.pw_gid)
    }

    /// A name that only this path has: FNV-1a, 64 bits, in hexadecimal.
    private static func name(of path: String) -> String {
        let hash = path.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
            ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3
        }
        return String(hash, radix: 16)
    }
}
