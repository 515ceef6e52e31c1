import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillStore

@Suite struct ReceiptFinderTests {
    @Test func findsReceiptsOfAllTenantsAndNoOthers() async throws {
        try await SettlementFixture.with { fixture in
            let devices = [
                try await fixture.makeDevice(), try await fixture.makeDevice(tenant: "other"),
            ]
            let bundles = devices.map { fixture.bundle(of: $0) }
            for bundle in bundles {
                _ = try fixture.settle(bundle, [fixture.row(0)], by: fixture.makeSettler())
            }
            // A bundle of one device is none of another's.
            let crossed = BundleKey(
                deviceID: devices[0].deviceID, bundleID: bundles[1].bundleID)
            let finder = ReceiptFinder(
                connectionString: fixture.address, filter: ReceiptFilter())
            let found = try finder.receipts(of: bundles.map(\.key) + [crossed])
            #expect(Set(found.keys) == Set(bundles.map(\.key)))
            let others = try await fixture.store.receipts(of: bundles.map(\.key))
            #expect(found.mapValues(\.document) == others.mapValues(\.document))
        }
    }

    @Test func sessionThatWasEndedIsReplaced() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let bundle = fixture.bundle(of: device)
            _ = try fixture.settle(bundle, [fixture.row(0)], by: fixture.makeSettler())
            let finder = ReceiptFinder(
                connectionString: fixture.address, filter: ReceiptFilter())
            #expect(try finder.receipts(of: [bundle.key]).count == 1)
            let ended = try fixture.number(
                """
                SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE application_name = 'waybill history' AND datname = current_database()
                """)
            #expect(ended == 1)
            var found: [BundleKey: StoredReceipt]?
            for _ in 0..<2000 where found == nil {
                // The end reaches the session when it does: a question in between may fail.
                found = try? finder.receipts(of: [bundle.key])
                if found == nil { try await Task.sleep(for: .milliseconds(1)) }
            }
            #expect(found?.count == 1)
        }
    }

    @Test func failsAtOnceBetweenTwoTriesToConnect() throws {
        let finder = ReceiptFinder(
            connectionString: "host=/nowhere/at-all dbname=none", filter: ReceiptFilter())
        for _ in 0..<100 {
            #expect(throws: StoreError.self) { try finder.receipts(of: []) }
        }
    }

    @Test func learnsWhichBundlesHaveReceipts() async throws {
        try await SettlementFixture.with { fixture in
            let devices = [
                try await fixture.makeDevice(), try await fixture.makeDevice(tenant: "other"),
            ]
            let bundles = devices.map { fixture.bundle(of: $0) }
            for bundle in bundles {
                _ = try fixture.settle(bundle, [fixture.row(0)], by: fixture.makeSettler())
            }
            fixture.filter.noteComplete()
            for bundle in bundles { #expect(fixture.filter.mayHold(bundle.key)) }
            let filter = ReceiptFilter()
            let finder = ReceiptFinder(connectionString: fixture.address, filter: filter)
            #expect(filter.mayHold(BundleKey(deviceID: .random(), bundleID: .random())))
            // Pieces of one: as many as there are receipts, and one that finds the end.
            #expect(try (0..<3).map { _ in try finder.learn(piece: 1) } == [true, true, false])
            #expect(try finder.learn(piece: 1) == false)
            for bundle in bundles { #expect(filter.mayHold(bundle.key)) }
            let new = (0..<1000).filter { _ in
                filter.mayHold(BundleKey(deviceID: devices[0].deviceID, bundleID: .random()))
            }
            #expect(new.count < 20)
        }
    }

    @Test func nothingIsNewForCertainWhileTheDatabaseIsAway() throws {
        let filter = ReceiptFilter()
        let finder = ReceiptFinder(
            connectionString: "host=/nowhere/at-all dbname=none", filter: filter)
        #expect(throws: StoreError.self) { try finder.learn() }
        #expect(throws: StoreError.self) { try finder.learn() }
        #expect(filter.mayHold(BundleKey(deviceID: .random(), bundleID: .random())))
    }
}
