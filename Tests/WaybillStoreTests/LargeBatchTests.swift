import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillStore

@Suite struct LargeBatchTests {
    /// More rows than go as arrays.
    private static let rowCount = TransactionInsertion.stagedRowsMin + 500

    private func rows(_ fixture: SettlementFixture) -> [TransactionRow] {
        (0..<Self.rowCount).map { fixture.row($0, content: #"{"n":\#($0)}"#) }
    }

    @Test func copiesManyRows() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            var rows = rows(fixture)
            rows[3] = fixture.row(3, content: "\u{1}\u{2}\u{3}", contentType: "image/png")
            rows[4] = fixture.row(4, actor: "nurse")
            let settled = try fixture.settle(
                fixture.bundle(of: device), rows, by: fixture.makeSettler())
            #expect(settled.counts == OutcomeCounts(accepted: Self.rowCount))
            #expect(
                try fixture.number(
                    """
                    SELECT count(*) FROM transactions
                    WHERE (bundle_index = 3 AND body = '\\x010203' AND content_type = 'image/png')
                        OR (bundle_index = 4 AND actor = 'nurse')
                        OR (bundle_index > 4 AND payload = jsonb_build_object('n', bundle_index))
                    """) == Self.rowCount - 3)
        }
    }

    @Test func fallsBackToStagingWhenAnIDWasThereBefore() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let settler = fixture.makeSettler()
            let rows = rows(fixture)
            _ = try fixture.settle(
                fixture.bundle(of: device), [rows[7], fixture.row(1, id: rows[8].id)], by: settler)
            let settled = try fixture.settle(fixture.bundle(of: device), rows, by: settler)
            #expect(
                settled.counts
                    == OutcomeCounts(accepted: Self.rowCount - 2, duplicate: 1, conflict: 1))
            // The next one goes to staging at once, and finds everything there.
            let again = try fixture.settle(fixture.bundle(of: device), rows, by: settler)
            #expect(again.counts == OutcomeCounts(duplicate: Self.rowCount - 1, conflict: 1))
            let receipts = try await fixture.verifiedReceipts(of: device.deviceID)
            guard case .array(let exceptions)? = receipts.last?.document["exceptions"] else {
                Issue.record("no exceptions")
                return
            }
            // Neighbours with one outcome are told as runs: before the conflict one by one.
            #expect(exceptions.count == 8 + 1 + 1)
            #expect(exceptions.last?["from"]?.integer == 9)
            #expect(exceptions.last?["count"]?.integer == Int64(Self.rowCount - 9))
        }
    }

    @Test func setsAsideTheRefusedRowsOfACopy() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            var rows = rows(fixture)
            rows[3] = fixture.row(3, content: #"{"a":"\u0000"}"#)
            rows[1200] = fixture.row(1200, content: #"1e400000"#)
            let settled = try fixture.settle(
                fixture.bundle(of: device), rows, by: fixture.makeSettler())
            #expect(settled.counts == OutcomeCounts(accepted: Self.rowCount - 2, rejected: 2))
        }
    }

    @Test func worksWithoutTheRightToCopyDirectly() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let rows = rows(fixture)
            let connection = try TestServer.connect(fixture.address, role: "waybill_ingest")
            try connection.execute(SettlingStatements.createStaging)
            let context = SettlementContext(
                connection: connection, canCopyDirectly: false, rootKey: fixture.rootKey,
                auditKey: fixture.rootKey.auditKey, signer: fixture.signer, node: "test")
            let settled = try connection.transaction {
                var work = try SettlementTransaction(
                    [fixture.bundle(of: device)], context: context, history: InsertionHistory())
                try work.insert(rows)
                return try work.finish()
            }
            #expect(settled.map(\.counts) == [OutcomeCounts(accepted: Self.rowCount)])
        }
    }

    @Test func fallsBackToArraysWhenOneOfAFewIDsWasThereBefore() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let settler = fixture.makeSettler()
            let rows = (0..<TransactionInsertion.copyRowsMin + 10).map { fixture.row($0) }
            _ = try fixture.settle(fixture.bundle(of: device), Array(rows[5..<6]), by: settler)
            let settled = try fixture.settle(fixture.bundle(of: device), rows, by: settler)
            #expect(settled.counts == OutcomeCounts(accepted: rows.count - 1, duplicate: 1))
            #expect(try fixture.number("SELECT count(*) FROM transactions") == rows.count)
        }
    }

    @Test(arguments: [true, false])
    func givesManyBundlesTheirReceiptsAndAuditRowsAtOnce(canCopy: Bool) async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            var bundles = (1...50).map { fixture.bundle(of: device, sequence: Int64($0)) }
            bundles[7].verdict = .quarantined(code: .cannotOpen, detail: "x", deadLetter: nil)
            bundles[8].source = nil
            let connection = try TestServer.connect(fixture.address, role: "waybill_ingest")
            try connection.execute(SettlingStatements.createStaging)
            let context = SettlementContext(
                connection: connection, canCopyDirectly: canCopy, rootKey: fixture.rootKey,
                auditKey: fixture.rootKey.auditKey, signer: fixture.signer, node: "test")
            let rows = (0..<50).filter { $0 != 7 }.map { fixture.row(0, bundle: $0) }
            let settled = try connection.transaction {
                var work = try SettlementTransaction(
                    bundles, context: context, history: InsertionHistory())
                try work.insert(rows)
                return try work.finish()
            }
            #expect(settled.map(\.receiptSequence) == Array(1...50))
            #expect(settled.filter { $0.state == .quarantined }.map(\.ordinal) == [7])
            let receipts = try await fixture.verifiedReceipts(of: device.deviceID)
            #expect(receipts.map(\.bundleID) == bundles.map(\.bundleID))
            #expect(
                try fixture.number(
                    """
                    SELECT count(*) FROM receipts
                    WHERE part_byte_counts = '{1000,2000}' AND accepted <= 1 AND superseded_by IS NULL
                        AND (code = 'cannot_open' OR accepted = 1 AND state = 'settled')
                    """) == 50)
            #expect(
                try fixture.number(
                    """
                    SELECT count(*) FROM audit_events
                    WHERE actor = 'listener' AND node = 'test'
                        AND details ->> 'seq' = chain_seq::text
                        AND (details ->> 'bytes')::int = 3000
                    """) == 50)
        }
    }
}
