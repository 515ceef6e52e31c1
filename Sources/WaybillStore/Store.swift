internal import Migrations
internal import WaybillModel
package import WaybillPostgres

/// The database as everything but the listeners sees it: asynchronous, under row-level security.
///
/// Each call is one transaction that says for whom it runs: the server, one tenant, or one device.
/// Every call throws ``StoreError/unavailable(_:)`` while the database is away.
package struct Store: Sendable {
    let pool: PostgresPool
    let rootKey: RootKey
    /// Rung when a device has new receipts.
    package let bell: ReceiptBell
    let options: StoreOptions

    /// - Parameter pool: made by ``makePool(connectionString:threads:applicationName:)``.
    package init(
        pool: PostgresPool, rootKey: RootKey, bell: ReceiptBell,
        options: StoreOptions = StoreOptions()
    ) {
        self.pool = pool
        self.rootKey = rootKey
        self.bell = bell
        self.options = options
    }

    /// Threads with sessions under the role `waybill_app`; they open with the first call.
    ///
    /// A call that gets no answer for five seconds fails, also while the database is frozen.
    package static func makePool(
        connectionString: String, threads: Int = 4, applicationName: String = "waybill"
    ) throws(StoreError) -> PostgresPool {
        do {
            return try PostgresPool(
                ConnectionOptions(
                    connectionString: connectionString, applicationName: applicationName,
                    statementTimeout: .seconds(15), lockTimeout: .seconds(5),
                    idleTimeout: .seconds(30), role: "waybill_app"),
                threads: threads, answerMax: .seconds(5))
        } catch {
            throw StoreError(error)
        }
    }

    /// The schema's steps, oldest first.
    package static var migrations: [Migration] {
        Migrations.all.compactMap { Migration(name: $0.name, sql: $0.sql) }
    }

    /// Brings the schema up to date; returns the names of the steps that were missing.
    ///
    /// - Throws: ``StoreError/postgres(_:)`` with a changed or a newer schema; no retry helps then.
    ///   ``StoreError/unavailable(_:)`` when `patience` has an end.
    @discardableResult
    package static func migrate(
        connectionString: String, patience: MigrationPatience = .endless
    ) async throws(StoreError) -> [String] {
        try await withOwner(connectionString, patience) { connection in
            try Migrator(migrations).migrate(connection)
        }
    }

    /// Throws unless the schema is exactly this program's.
    package static func checkSchema(
        connectionString: String, patience: MigrationPatience = .endless
    ) async throws(StoreError) {
        try await withOwner(connectionString, patience) { connection in
            try Migrator(migrations).check(connection)
        }
    }

    /// Looks whether the database answers.
    package func ping() async throws(StoreError) {
        try await perform(as: .server) { connection in
            try connection.query("SELECT 1::integer")
            return
        }
    }

    /// For whom a call runs: what the policies of the schema look at.
    enum Scope: Sendable {
        case server
        case tenant(TenantID)
        case device(DeviceID)
    }

    /// Runs `body` in a transaction under `scope`.
    ///
    /// - Parameter answerMax: instead of the pool's answer time, for what takes long.
    func perform<Value: Sendable>(
        as scope: Scope, answerMax: Duration? = nil,
        _ body: @escaping @Sendable (PostgresConnection) throws -> Value
    ) async throws(StoreError) -> Value {
        let settings: [PostgresParameter] =
            switch scope {
            case .server: [.text("server"), .text(""), .text("")]
            case .tenant(let tenant): [.text(""), .text(tenant.description), .text("")]
            case .device(let device): [.text(""), .text(""), .text(device.description)]
            }
        do {
            return try await pool.withConnection(answerMax: answerMax) { connection in
                try connection.transaction {
                    try connection.query(StoreStatements.setScope, settings)
                    return try body(connection)
                }
            }
        } catch {
            throw StoreError(error)
        }
    }

    private static func withOwner<Value: Sendable>(
        _ connectionString: String, _ patience: MigrationPatience,
        _ body: @escaping @Sendable (PostgresConnection) throws -> Value
    ) async throws(StoreError) -> Value {
        do {
            let pool = try PostgresPool(
                ConnectionOptions(
                    connectionString: connectionString, applicationName: "waybill migrate",
                    statementTimeout: patience.statement, lockTimeout: patience.lock,
                    idleTimeout: .zero),
                threads: 1, answerMax: patience.answer)
            defer { pool.close() }
            return try await pool.withConnection(body)
        } catch {
            throw StoreError(error)
        }
    }
}

/// For how long a migration waits; zero and nil are for ever.
package struct MigrationPatience: Sendable {
    /// For each lock: of another program that migrates, and of tables in use.
    package var lock: Duration
    /// For each statement.
    package var statement: Duration
    /// For all of it, as far as the caller waits.
    package var answer: Duration?

    package init(lock: Duration, statement: Duration, answer: Duration?) {
        self.lock = lock
        self.statement = statement
        self.answer = answer
    }

    /// A step may take long, and wait long for another program's.
    package static let endless = MigrationPatience(lock: .zero, statement: .zero, answer: nil)
}

/// What an operator decides about devices.
package struct StoreOptions: Sendable {
    /// For how long bundles sealed under the epochs before a rotation are still opened.
    package var epochGrace: Duration = .seconds(30 * 24 * 3600)
    /// With one, `safe_through` follows the backups that operators report; without, it is `last`.
    package var hasBackupPolicy = false

    package init() {}
}
