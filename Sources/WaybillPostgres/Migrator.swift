/// One step of the schema.
package struct Migration: Sendable {
    /// From 1, without a gap.
    package let version: Int
    /// `NNNN_verb_object`, as its file is called.
    package let name: String
    package let sql: [UInt8]

    /// - Parameter name: `NNNN_verb_object`; nil if it does not begin with four digits and `_`.
    package init?(name: String, sql: [UInt8]) {
        guard let version = Int(name.prefix(4)), version > 0, name.dropFirst(4).first == "_" else {
            return nil
        }
        self.version = version
        self.name = name
        self.sql = sql
    }
}

/// Brings a database's schema up to date, forward only.
///
/// Several programs may do so at the same time: an advisory lock lets one work, the others find it
/// done. Each migration is one transaction with the row that remembers it and its SHA-256.
package struct Migrator: Sendable {
    private let migrations: [Migration]

    /// Random; identifies this lock among the advisory locks of a database.
    private static let lockKey: Int64 = 0x7761_7962_696c_6c01

    /// - Parameter migrations: versions 1, 2, 3 … in order.
    package init(_ migrations: [Migration]) {
        precondition(
            migrations.enumerated().allSatisfy { $0.element.version == $0.offset + 1 },
            "migrations are numbered without a gap")
        self.migrations = migrations
    }

    /// Applies what is missing; returns the names of what was applied.
    ///
    /// Locks only where something is missing: a current schema is found to be so while another program
    /// holds the lock. For that lock it waits as long as the session's `lock_timeout` allows.
    ///
    /// - Throws: ``PostgresError/migrationChanged(name:)`` if an applied file differs,
    ///   ``PostgresError/schemaTooNew(database:program:)``, or what the server
    ///   says of a statement: then that migration and all after it are not applied.
    @discardableResult
    package func migrate(_ connection: PostgresConnection) throws -> [String] {
        if try appliedVersion(connection) ?? 0 >= migrations.count { return [] }
        try connection.query("SELECT pg_advisory_lock($1::bigint)", [.int8(Self.lockKey)])
        let applied = Result { try migrateLocked(connection) }
        try connection.query("SELECT pg_advisory_unlock($1::bigint)", [.int8(Self.lockKey)])
        return try applied.get()
    }

    /// Looks whether the schema is this program's; changes nothing.
    ///
    /// - Throws: as ``migrate(_:)``, and ``PostgresError/schemaTooOld(database:program:)``.
    package func check(_ connection: PostgresConnection) throws {
        let version = try appliedVersion(connection) ?? 0
        guard version >= migrations.count else {
            throw PostgresError.schemaTooOld(database: version, program: migrations.count)
        }
    }

    private func migrateLocked(_ connection: PostgresConnection) throws -> [String] {
        // Looked up first: "IF NOT EXISTS" needs the right to create even where nothing is to do.
        let version = try appliedVersion(connection)
        if version == nil {
            try connection.execute(
                """
                CREATE SCHEMA IF NOT EXISTS waybill;
                CREATE TABLE waybill.schema_migrations (
                    version integer PRIMARY KEY,
                    name text NOT NULL,
                    checksum bytea NOT NULL,
                    applied_at timestamptz NOT NULL DEFAULT now()
                );
                """)
        }
        let missing = migrations.drop { $0.version <= version ?? 0 }
        for migration in missing {
            try connection.transaction {
                try connection.execute(script: String(decoding: migration.sql, as: UTF8.self))
                try connection.query(
                    """
                    INSERT INTO waybill.schema_migrations (version, name, checksum)
                    VALUES ($1::integer, $2::text, sha256($3::bytea))
                    """,
                    [
                        .int4(Int32(migration.version)), .text(migration.name),
                        .bytes(migration.sql),
                    ])
            }
        }
        return missing.map(\.name)
    }

    /// The database's version, once every applied migration was found unchanged; nil in a database
    /// that was never migrated.
    private func appliedVersion(_ connection: PostgresConnection) throws -> Int? {
        let exists = try connection.query(
            "SELECT to_regclass('waybill.schema_migrations') IS NOT NULL")[0].bool(0)
        guard exists else { return nil }
        let changed = try connection.query(
            """
            SELECT w.name
            FROM unnest($1::integer[], $2::text[], $3::bytea[]) AS w (version, name, sql)
            JOIN waybill.schema_migrations AS m USING (version)
            WHERE m.checksum <> sha256(w.sql) OR m.name <> w.name
            ORDER BY version LIMIT 1
            """,
            [
                .int4s(migrations.map { Int32($0.version) }), .texts(migrations.map(\.name)),
                .byteArrays(migrations.map(\.sql)),
            ])
        if changed.count > 0 {
            throw PostgresError.migrationChanged(name: try changed[0].text(0))
        }
        let version = try Int(
            connection.query("SELECT coalesce(max(version), 0) FROM waybill.schema_migrations")[0]
                .int4(0))
        guard version <= migrations.count else {
            throw PostgresError.schemaTooNew(database: version, program: migrations.count)
        }
        return version
    }
}
