import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillStore

/// "`safe_through` is the receipt number covered by the operator's backup policy; without one it
/// equals `last`."
@Suite struct BackupTests {
    private func store(_ fixture: SettlementFixture) -> Store {
        var options = StoreOptions()
        options.hasBackupPolicy = true
        return Store(
            pool: fixture.pool, rootKey: fixture.rootKey, bell: fixture.bell, options: options)
    }

    private func settle(_ count: Int, of device: RegisteredDevice, _ fixture: SettlementFixture)
        throws
    {
        let settler = fixture.makeSettler()
        for _ in 0..<count {
            _ = try fixture.settle(fixture.bundle(of: device), [fixture.row(0)], by: settler)
        }
    }

    @Test func withoutAPolicySafeThroughEqualsLast() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            try settle(2, of: device, fixture)
            #expect(try await fixture.store.progress(device.deviceID).safeThrough == 2)
        }
    }

    @Test func withAPolicyOnlyCompleteBackupsCount() async throws {
        try await SettlementFixture.with { fixture in
            let store = store(fixture)
            let device = try await fixture.makeDevice()
            try settle(2, of: device, fixture)
            #expect(try await store.progress(device.deviceID).safeThrough == 0)
            let backup = try await store.beginBackup()
            #expect(backup.completedAt == nil)
            try settle(3, of: device, fixture)
            #expect(try await store.progress(device.deviceID).safeThrough == 0)
            let completed = try await store.completeBackup(backup.id)
            #expect(completed.completedAt != nil)
            // Saying so again changes nothing.
            #expect(try await store.completeBackup(backup.id) == completed)
            let batch = try await store.receipts(
                device.deviceID, after: 0, limit: 9, bytesMax: 1 << 20)
            #expect(batch.last == 5)
            #expect(batch.safeThrough == 2)
            let next = try await store.beginBackup()
            _ = try await store.completeBackup(next.id)
            #expect(try await store.progress(device.deviceID).safeThrough == 5)
            #expect(try await store.backups().map(\.id) == [next.id, backup.id])
            await #expect(throws: StoreError.self) { try await store.completeBackup(77) }
        }
    }

    /// The receipt is dated before the backup began and committed after: it is not in the backup.
    @Test func aReceiptThatIsCommittedAfterTheBackupBeganIsNotCovered() async throws {
        try await SettlementFixture.with { fixture in
            let store = store(fixture)
            let device = try await fixture.makeDevice()
            try settle(1, of: device, fixture)
            let session = try TestServer.connect(fixture.address)
            try session.execute("BEGIN")
            try session.execute(
                """
                INSERT INTO waybill.receipts
                SELECT (r).* FROM (
                    SELECT jsonb_populate_record(r, jsonb_build_object(
                        'seq', 2, 'bundle_id', gen_random_uuid(),
                        'settled_in', pg_current_xact_id()::text)) AS r
                    FROM waybill.receipts AS r) AS x
                """)
            try session.execute("UPDATE waybill.device_progress SET receipt_seq = 2")
            let backup = try await store.beginBackup()
            try session.execute("COMMIT")
            _ = try await store.completeBackup(backup.id)
            let progress = try await store.progress(device.deviceID)
            #expect(progress.last == 2)
            #expect(progress.safeThrough == 1)
        }
    }

    /// A database that was restored from a dump counts its transactions from low numbers again: a
    /// backup of before must not cover what is settled now, one of now covers what was restored.
    @Test func backupsOfAnotherCountOfTransactionsCoverNothingNew() async throws {
        try await SettlementFixture.with { fixture in
            let store = store(fixture)
            let device = try await fixture.makeDevice()
            try settle(1, of: device, fixture)
            let old = try await store.beginBackup()
            _ = try await store.completeBackup(old.id)
            let owner = try TestServer.connect(fixture.address)
            try owner.execute(
                """
                UPDATE waybill.backups SET seen = '99999999:99999999:', began_at = now() - interval '2 h';
                UPDATE waybill.receipts SET settled_in = '99999998',
                    settled_at = settled_at - interval '2 days'
                """)
            try settle(1, of: device, fixture)
            #expect(try await store.progress(device.deviceID).safeThrough == 1)
            let new = try await store.beginBackup()
            _ = try await store.completeBackup(new.id)
            #expect(try await store.progress(device.deviceID).safeThrough == 2)
        }
    }

    /// Receipts from before the column was there count as committed.
    @Test func receiptsOfTheSchemaBeforeAreCovered() async throws {
        try await SettlementFixture.with { fixture in
            let store = store(fixture)
            let device = try await fixture.makeDevice()
            try settle(1, of: device, fixture)
            try TestServer.connect(fixture.address).execute(
                "UPDATE waybill.receipts SET settled_in = NULL")
            let backup = try await store.beginBackup()
            _ = try await store.completeBackup(backup.id)
            #expect(try await store.progress(device.deviceID).safeThrough == 1)
        }
    }
}
