package import WaybillModel
internal import WaybillPostgres

extension Store {
    /// Takes note that a backup begins now. It covers what is committed at this moment.
    package func beginBackup() async throws(StoreError) -> Backup {
        try await perform(as: .server) { connection in
            try Backup(try connection.query(DeviceStatements.insertBackup)[0])
        }
    }

    /// Takes note that a backup is complete and safe; saying so again changes nothing.
    ///
    /// - Throws: ``StoreError/notFound``.
    package func completeBackup(_ id: Int64) async throws(StoreError) -> Backup {
        try await perform(as: .server) { connection in
            let completed = try connection.query(DeviceStatements.completeBackup, [.int8(id)])
            guard completed.count == 1 else { throw StoreError.notFound }
            return try Backup(completed[0])
        }
    }

    /// The last hundred, newest first.
    package func backups() async throws(StoreError) -> [Backup] {
        try await perform(as: .server) { connection in
            try connection.query(DeviceStatements.listBackups).rows.map { try Backup($0) }
        }
    }
}

extension Backup {
    fileprivate init(_ row: PostgresRow) throws {
        self.init(
            id: try row.int8(0), beganAt: try row.time(1), completedAt: try row.timeIfPresent(2))
    }
}
