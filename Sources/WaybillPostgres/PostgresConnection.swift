internal import CLibpq

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// One session with the server. Every call blocks its thread; use it from one thread at a time.
///
/// Statements are prepared on first use and stay prepared. After an error that
/// ``PostgresError/isConnectionLost`` names, open another connection.
@safe
package final class PostgresConnection {
    /// Freed in `deinit`; touched by this type alone.
    let raw: OpaquePointer
    private var prepared: [UInt: String] = [:]
    private var isClosed = false

    /// Opens a session and applies the options to it.
    ///
    /// - Throws: ``PostgresError/cannotConnect(_:)``, retryable; or what the server says of a setting.
    package init(_ options: ConnectionOptions) throws(PostgresError) {
        let raw = unsafe Self.connect(options)
        guard let raw = unsafe raw else { throw .cannotConnect("out of memory") }
        unsafe self.raw = unsafe raw
        // From here on deinit closes the session.
        guard unsafe PQstatus(raw) == CONNECTION_OK else {
            throw .cannotConnect(unsafe Self.text(PQerrorMessage(raw)))
        }
        // Without this libpq prints notices on stderr.
        unsafe PQsetNoticeReceiver(raw, { _, _ in }, nil)
        try apply(options)
    }

    deinit {
        unsafe PQfinish(raw)
    }

    /// False once the session is known to be gone; looks at the socket, asks nobody, never waits.
    package var isAlive: Bool {
        guard !isClosed, unsafe PQstatus(raw) == CONNECTION_OK else { return false }
        // A session that the server ended has its last words and the end of the stream waiting here.
        for _ in 0..<16 {
            var descriptor = unsafe pollfd(fd: PQsocket(raw), events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&descriptor, 1, 0) > 0 else { return true }
            guard unsafe PQconsumeInput(raw) == 1, unsafe PQstatus(raw) == CONNECTION_OK else {
                return false
            }
        }
        return false
    }

    /// The server's number for this session, as in `pg_stat_activity.pid`.
    package var backendProcessID: Int32 { unsafe PQbackendPID(raw) }

    /// Runs one prepared statement; returns its rows.
    @discardableResult
    package func query(
        _ statement: PostgresStatement, _ parameters: [PostgresParameter] = []
    ) throws(PostgresError) -> PostgresResult {
        let name = try prepare(statement)
        var buffer: [UInt8] = []
        buffer.reserveCapacity(parameters.reduce(1) { $0 + ($1.bytes?.count ?? 0) })
        var offsets: [Int?] = []
        for parameter in parameters {
            offsets.append(parameter.bytes == nil ? nil : buffer.count)
            if let bytes = parameter.bytes { buffer.append(contentsOf: bytes) }
        }
        // An empty value needs an address too.
        buffer.append(0)
        let lengths = parameters.map { Int32($0.bytes?.count ?? 0) }
        let formats = [Int32](repeating: 1, count: parameters.count)
        let result = unsafe buffer.withUnsafeBytes { bytes in
            let base = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
            let values = unsafe offsets.map { offset in
                unsafe offset.flatMap { offset in unsafe base.map { unsafe $0 + offset } }
            }
            return unsafe PQexecPrepared(
                raw, name, Int32(parameters.count), values, lengths, formats, 1)
        }
        return try unsafe checked(result)
    }

    /// Runs statements without parameters, in one round trip; returns nothing.
    package func execute(_ statement: PostgresStatement) throws(PostgresError) {
        try execute(script: statement.text.description)
    }

    /// Runs a text of several statements, as migrations are. Never build one from values.
    package func execute(script: String) throws(PostgresError) {
        _ = try unsafe checked(PQexec(raw, script))
    }

    /// Runs `body` between `BEGIN` and `COMMIT`; `ROLLBACK` on any error.
    ///
    /// - Throws: what `body` throws, and ``PostgresError``. If the session ended in `COMMIT`, nobody
    ///   knows whether the work is done: repeat it only if that is harmless.
    package func transaction<Value>(_ body: () throws -> Value) throws -> Value {
        try execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        let value: Value
        do {
            value = try body()
        } catch {
            abandon("ROLLBACK")
            throw error
        }
        try execute("COMMIT")
        return value
    }

    /// Runs `body` under a savepoint, inside a transaction; an error takes back only what it did.
    package func savepoint<Value>(_ body: () throws -> Value) throws -> Value {
        // Equal names nest: RELEASE and ROLLBACK TO mean the innermost one.
        try execute("SAVEPOINT waybill")
        let value: Value
        do {
            value = try body()
        } catch {
            abandon("ROLLBACK TO SAVEPOINT waybill; RELEASE SAVEPOINT waybill")
            throw error
        }
        try execute("RELEASE SAVEPOINT waybill")
        return value
    }

    /// Runs a statement that takes work back. If even that fails the session is of no more use, and
    /// the error that led here says more than this one.
    private func abandon(_ statement: PostgresStatement) {
        do {
            try execute(statement)
        } catch {
            isClosed = true
        }
    }

    private func prepare(_ statement: PostgresStatement) throws(PostgresError) -> String {
        guard !isClosed else { throw .connectionLost("the session was given up") }
        if let name = prepared[statement.address] { return name }
        let name = "s\(prepared.count + 1)"
        _ = try unsafe checked(PQprepare(raw, name, statement.text.description, 0, nil))
        prepared[statement.address] = name
        return name
    }

    private func apply(_ options: ConnectionOptions) throws(PostgresError) {
        try query(
            """
            SELECT set_config('statement_timeout', $1::text, false),
                set_config('lock_timeout', $2::text, false),
                set_config('idle_in_transaction_session_timeout', $3::text, false),
                set_config('search_path', 'waybill, pg_temp', false),
                set_config('synchronous_commit', CASE
                    WHEN current_setting('synchronous_commit') = 'off' THEN 'on'
                    ELSE current_setting('synchronous_commit') END, false)
            """,
            [
                .text(String(options.statementTimeout.milliseconds)),
                .text(String(options.lockTimeout.milliseconds)),
                .text(String(options.idleTimeout.milliseconds)),
            ])
        if let role = options.role {
            try query("SELECT set_config('role', $1::text, false)", [.text(role)])
        }
    }
}

extension PostgresConnection {
    /// Sends rows in binary to a statement `COPY … FROM STDIN (FORMAT binary)`.
    ///
    /// - Returns: how many rows the server took.
    /// - Throws: what `body` throws (then nothing is copied), and ``PostgresError``.
    @discardableResult
    package func copyIn(
        _ statement: PostgresStatement, _ body: (inout CopyWriter) throws -> Void
    ) throws -> Int {
        let started = unsafe PQexec(raw, statement.text.description)
        guard unsafe PQresultStatus(started) == PGRES_COPY_IN else {
            _ = try unsafe checked(started)
            throw PostgresError.unexpectedResult("a statement that is no COPY FROM STDIN")
        }
        unsafe PQclear(started)
        var writer = CopyWriter(connection: self)
        do {
            try body(&writer)
            try writer.finish()
        } catch {
            // When the server has refused the rows, its own error is the one to tell.
            try endCopy(reason: "abandoned")
            throw error
        }
        return try endCopy(reason: nil)
    }

    /// Hands bytes of a COPY to the server.
    func putCopyData(_ bytes: UnsafeRawBufferPointer) throws(PostgresError) {
        let status = unsafe PQputCopyData(
            raw, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(bytes.count))
        guard status == 1 else {
            throw .connectionLost(unsafe Self.text(PQerrorMessage(raw)))
        }
    }

    /// - Parameter reason: nil to have the rows taken; a text to have them thrown away.
    @discardableResult
    private func endCopy(reason: String?) throws(PostgresError) -> Int {
        let status =
            if let reason {
                unsafe PQputCopyEnd(raw, reason)
            } else {
                unsafe PQputCopyEnd(raw, nil)
            }
        guard status == 1 else {
            throw .connectionLost(unsafe Self.text(PQerrorMessage(raw)))
        }
        var count = 0
        var failure: PostgresError?
        while let result = unsafe PQgetResult(raw) {
            do {
                count = try unsafe checked(result).affectedCount
            } catch {
                failure = failure ?? error
            }
            // A broken session returns the same error for ever.
            if unsafe PQstatus(raw) != CONNECTION_OK { break }
        }
        // 57014, query_canceled, is the answer to the abandoned copy: the caller has the reason.
        if let failure, reason == nil || failure.sqlState != "57014" { throw failure }
        return count
    }
}

extension PostgresConnection {
    private static func connect(_ options: ConnectionOptions) -> OpaquePointer? {
        // Keywords before "dbname" are defaults that the connection string may override.
        let keywords: [(String, String)] = [
            ("keepalives_idle", "30"),
            ("tcp_user_timeout", "30000"),
            ("connect_timeout", String(max(2, options.connectTimeout.components.seconds))),
            ("dbname", options.connectionString),
            ("application_name", options.applicationName),
            ("client_encoding", "UTF8"),
        ]
        let names = unsafe keywords.map { unsafe strdup($0.0) }
        let values = unsafe keywords.map { unsafe strdup($0.1) }
        defer {
            for index in keywords.indices {
                unsafe free(names[index])
                unsafe free(values[index])
            }
        }
        let nameList = unsafe names.map { unsafe UnsafePointer($0) } + [nil]
        let valueList = unsafe values.map { unsafe UnsafePointer($0) } + [nil]
        return unsafe PQconnectdbParams(nameList, valueList, 1)
    }

    /// Takes ownership of `result`; an error of the server becomes a thrown one.
    private func checked(_ result: OpaquePointer?) throws(PostgresError) -> PostgresResult {
        guard let result = unsafe result else {
            throw .connectionLost(unsafe Self.text(PQerrorMessage(raw)))
        }
        let owned = unsafe PostgresResult(result)
        switch unsafe PQresultStatus(result) {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: return owned
        default: break
        }
        // Fields of a message: PG_DIAG_SQLSTATE, _MESSAGE_PRIMARY, _MESSAGE_DETAIL, _CONTEXT,
        // _CONSTRAINT_NAME in postgres_ext.h.
        func field(_ code: Unicode.Scalar) -> String? {
            let text = unsafe PQresultErrorField(result, Int32(code.value))
            return unsafe text.map { unsafe String(cString: $0) }
        }
        guard let state = field("C") else {
            throw .connectionLost(unsafe Self.text(PQerrorMessage(raw)))
        }
        throw .server(
            ServerFault(
                sqlState: state, message: field("M") ?? "", constraint: field("n"),
                detail: [field("D"), field("H"), field("W")].compactMap(\.self)
                    .joined(separator: "; ")))
    }

    static func text(_ message: UnsafeMutablePointer<CChar>?) -> String {
        guard let message = unsafe message else { return "" }
        return unsafe String(cString: message)
    }
}

extension Duration {
    /// Whole milliseconds.
    fileprivate var milliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}
