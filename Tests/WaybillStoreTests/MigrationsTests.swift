import Foundation
import PostgresTesting
import Testing
import WaybillPostgres

@testable import WaybillStore

@Suite struct MigrationsTests {
    @Test func everyFileOfTheDirectoryIsCompiledIn() throws {
        let directory = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Migrations")
        let files = try FileManager.default.contentsOfDirectory(atPath: directory.path)
            .filter { $0.hasSuffix(".sql") }.sorted()
        #expect(Store.migrations.map { $0.name + ".sql" } == files)
        for migration in Store.migrations {
            let file = directory.appending(path: migration.name + ".sql")
            #expect(try Array(Data(contentsOf: file)) == migration.sql)
        }
    }

    @Test func bringsAnEmptyDatabaseUpToDateOnce() async throws {
        try await TestServer.withDatabase(isMigrated: false) { address in
            await #expect(throws: StoreError.self) {
                try await Store.checkSchema(connectionString: address)
            }
            let names = try await Store.migrate(connectionString: address)
            #expect(names == Store.migrations.map(\.name))
            #expect(try await Store.migrate(connectionString: address) == [])
            try await Store.checkSchema(connectionString: address)
        }
    }
}
