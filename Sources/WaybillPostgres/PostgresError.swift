/// What the server said about a statement that it refused.
package struct ServerFault: Sendable, Equatable {
    /// Five characters, appendix A of PostgreSQL's manual.
    package let sqlState: String
    /// The primary message; may quote a value.
    package let message: String
    /// Name of the constraint that was violated.
    package let constraint: String?
    /// Detail and context; may quote values and keys.
    package let detail: String
}

/// Everything that can go wrong between this process and PostgreSQL.
package enum PostgresError: Error, Sendable, Equatable {
    /// No session could be opened; the text is libpq's.
    case cannotConnect(String)
    /// The session ended under a statement: whether that took effect is unknown.
    case connectionLost(String)
    /// The server refused a statement.
    case server(ServerFault)
    /// A value has another type or length than the statement's reader expects.
    case unexpectedResult(String)
    /// No session was free, or none could be opened, within the time allowed.
    case unavailable(String)
    /// The system refused a thread (`pthread_create(3)`'s number).
    case cannotStartThread(errno: Int32)
    /// A migration that was applied has another checksum now.
    case migrationChanged(name: String)
    /// The database was migrated by a newer program.
    case schemaTooNew(database: Int, program: Int)
    /// The database lacks migrations that this program needs.
    case schemaTooOld(database: Int, program: Int)
    /// PostgreSQL's programs are not installed; the text says which package has them.
    case programMissing(String)
    /// The private server could not be set up, started or stopped.
    case privateServer(String)
}

extension PostgresError {
    /// Five characters if the server sent a state with the error.
    package var sqlState: String? {
        guard case .server(let fault) = self else { return nil }
        return fault.sqlState
    }

    /// The session is gone: open another one.
    package var isConnectionLost: Bool {
        switch self {
        case .cannotConnect, .connectionLost: true
        case .server(let fault):
            fault.sqlState.hasPrefix("57P") || fault.sqlState.hasPrefix("08")
        default: false
        }
    }

    /// The same work may succeed when it is begun again, unchanged.
    package var isRetryable: Bool {
        switch self {
        case .cannotConnect, .connectionLost, .unavailable, .cannotStartThread: true
        case .server(let fault): Self.isRetryable(fault.sqlState)
        default: false
        }
    }

    /// Neither a retry nor another transaction can succeed before a person acts.
    package var isFatal: Bool {
        switch self {
        case .migrationChanged, .schemaTooNew, .schemaTooOld, .programMissing: true
        default: false
        }
    }

    /// Nobody answers, or the server takes no work now: nothing is wrong with the work itself.
    package var isUnavailable: Bool {
        switch self {
        case .cannotConnect, .connectionLost, .unavailable, .cannotStartThread: true
        case .server(let fault):
            // Class 57: shutdown, start-up, cancelled by the statement's time limit;
            // class 53: connections, disk, memory; 55P03: a lock was not free in time;
            // 25006: a standby that takes no writes; 28 and 3D: wrong or half-made credentials.
            ["57", "53", "08", "58", "28", "3D"].contains(String(fault.sqlState.prefix(2)))
                || fault.sqlState == "55P03" || fault.sqlState == "25006"
        default: false
        }
    }

    /// From a closed set, for metric labels.
    package var shortDescription: String {
        switch self {
        case .cannotConnect: "cannot_connect"
        case .connectionLost: "connection_lost"
        case .server(let fault): "sqlstate_\(fault.sqlState)"
        case .unexpectedResult: "unexpected_result"
        case .unavailable: "unavailable"
        case .cannotStartThread: "cannot_start_thread"
        case .migrationChanged: "migration_changed"
        case .schemaTooNew: "schema_too_new"
        case .schemaTooOld: "schema_too_old"
        case .programMissing: "program_missing"
        case .privateServer: "private_server"
        }
    }

    private static func isRetryable(_ state: String) -> Bool {
        // 40001 serialization, 40P01 deadlock, 55P03 lock not available, 25006 read-only,
        // classes 08, 53, 57, 58: connection, resources, intervention, system.
        ["08", "53", "57", "58"].contains(String(state.prefix(2)))
            || ["40001", "40P01", "55P03", "25006"].contains(state)
    }
}

extension PostgresError: CustomStringConvertible, CustomDebugStringConvertible {
    /// Without the server's message, which may quote values.
    package var description: String {
        switch self {
        case .cannotConnect: "cannot connect to PostgreSQL"
        case .connectionLost: "the connection to PostgreSQL was lost"
        case .server(let fault):
            "PostgreSQL refused a statement with SQLSTATE \(fault.sqlState)"
                + (fault.constraint.map { " (\($0))" } ?? "")
        case .unexpectedResult(let what): "PostgreSQL answered unexpectedly: \(what)"
        case .unavailable(let what): "PostgreSQL is not available: \(what)"
        case .cannotStartThread(let number): "cannot start a thread (errno \(number))"
        case .migrationChanged(let name): "migration \(name) was changed after it was applied"
        case .schemaTooNew(let database, let program):
            "the database has schema \(database), this program knows up to \(program)"
        case .schemaTooOld(let database, let program):
            "the database has schema \(database), this program needs \(program): run waybill migrate"
        case .programMissing(let what): what
        case .privateServer(let what): what
        }
    }

    /// With everything that libpq and the server said; for an operator's eyes only.
    package var debugDescription: String {
        switch self {
        case .cannotConnect(let text), .connectionLost(let text): "\(description): \(text)"
        case .server(let fault): "\(description): \(fault.message) \(fault.detail)"
        default: description
        }
    }
}
