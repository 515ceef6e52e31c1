import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillLoad

/// Rows as the server writes them, in a real database; each fault is planted by SQL, and must be found
/// once and named.
struct RowAuditTests {
    @Test(arguments: LoadPlan.IdentifierOrder.allCases)
    func findsNothingInARunWithoutFaults(_ order: LoadPlan.IdentifierOrder) async throws {
        try await StoredRun.with({ $0.identifiers = order }) { stored in
            let report = try await stored.audit()
            #expect(report.isClean, "\(report.findings)")
            #expect(report.rows == stored.rowCount && report.rowsExpected == stored.rowCount)
            #expect(stored.rowCount > 100)
            #expect(report.bundles == 0 && report.receipts == 0)
        }
    }

    @Test func findsARowThatIsMissing() async throws {
        try await StoredRun.with { stored in
            let target = try stored.target()
            try stored.change("DELETE FROM waybill.transactions WHERE id = '\(target.row.id)'")
            let report = try await stored.audit()
            let finding = try report.only(.lost)
            #expect(finding.transaction == target.row.id.description)
            #expect(finding.bundle == stored.run.book.bundleID(target.number).description)
            #expect(finding.device == stored.device(target.number).description)
            #expect(report.rows == stored.rowCount - 1 && report.rowsExpected == stored.rowCount)
        }
    }

    @Test func findsAllRowsOfABundleThatIsMissing() async throws {
        try await StoredRun.with { stored in
            let target = try stored.target()
            let bundle = stored.run.book.bundleID(target.number)
            let ids = stored.run.book.rows(target.number).map(\.id.description)
            try stored.change("DELETE FROM waybill.transactions WHERE bundle_id = '\(bundle)'")
            let report = try await stored.audit()
            #expect(report.names(.lost) == ids)
            #expect(report.counts.values.reduce(0, +) == ids.count)
        }
    }

    enum Alteration: CaseIterable {
        case id, bundleIndex, type, occurredAt, offsetMinutes, actor, noActor, payload
        case payloadKeepsLength, contentType, body, tenant, deviceOfRun, foreignDevice
        case bundleOfRun, foreignBundle, emptied, becomesBody

        var column: String {
            switch self {
            case .id: "id"
            case .bundleIndex: "bundle_index"
            case .type: "type"
            case .occurredAt: "occurred_at"
            case .offsetMinutes: "offset_minutes"
            case .actor, .noActor: "actor"
            case .payload, .payloadKeepsLength, .emptied, .becomesBody: "payload"
            case .contentType: "content_type"
            case .body: "body"
            case .tenant: "tenant_id"
            case .deviceOfRun, .foreignDevice: "device_id"
            case .bundleOfRun, .foreignBundle: "bundle_id"
            }
        }
    }

    @Test(arguments: Alteration.allCases)
    func findsAColumnThatDiffers(_ alteration: Alteration) async throws {
        try await StoredRun.with { stored in
            let target = try stored.target { row in
                switch (alteration, row.content) {
                case (.contentType, .body), (.body, .body): true
                case (.contentType, _), (.body, _): false
                case (.actor, .payload): row.actor == nil
                case (.noActor, .payload): row.actor != nil
                case (_, .payload): true
                case (_, .body): false
                }
            }
            let number = target.number
            let otherDevice = stored.device(number + 1)
            let otherBundle = stored.run.book.bundleID(number + stored.run.devices.count)
            let value =
                switch alteration {
                case .id: "id = '\(TransactionID.random())'"
                case .bundleIndex: "bundle_index = bundle_index + 1"
                case .type: "type = type || ' '"
                case .occurredAt: "occurred_at = occurred_at + interval '1 microsecond'"
                case .offsetMinutes: "offset_minutes = offset_minutes + 1"
                case .actor: "actor = 'somebody'"
                case .noActor: "actor = NULL"
                case .payload: "payload = payload || '{\"surplus\": 1}'"
                case .payloadKeepsLength:
                    "payload = translate(payload::text, '0123456789', '1234567890')::jsonb"
                case .contentType: "content_type = content_type || 'x'"
                case .body: "body = set_byte(body, 5, get_byte(body, 5) # 1)"
                case .tenant: "tenant_id = tenant_id + 1"
                case .deviceOfRun: "device_id = '\(otherDevice)'"
                case .foreignDevice: "device_id = '\(DeviceID.random())'"
                case .bundleOfRun: "bundle_id = '\(otherBundle)'"
                case .foreignBundle: "bundle_id = '\(BundleID.random())'"
                case .emptied: "payload = NULL, emptied_at = now()"
                case .becomesBody: "payload = NULL, content_type = 'text/plain', body = 'x'"
                }
            try stored.change(
                "UPDATE waybill.transactions SET \(value) WHERE id = '\(target.row.id)'")
            let report = try await stored.audit()
            let finding = try report.only(.altered)
            #expect(finding.transaction == target.row.id.description)
            #expect(finding.detail.contains(alteration.column), "\(finding.detail)")
            #expect(report.rows == stored.rowCount)
        }
    }

    @Test func findsACopyUnderAnotherID() async throws {
        try await StoredRun.with { stored in
            let target = try stored.target()
            let copy = TransactionID.random()
            try stored.change(StoredRun.copying(target.row.id, "'\(copy)'"))
            let finding = try await stored.audit().only(.duplicated)
            #expect(finding.transaction == copy.description)
            #expect(finding.detail.contains(target.row.id.description))
        }
    }

    @Test func findsACopyUnderAnotherIDWhoseContentDiffersToo() async throws {
        try await StoredRun.with { stored in
            let target = try stored.target()
            let copy = TransactionID.random()
            try stored.change(
                StoredRun.copying(target.row.id, "'\(copy)'")
                    + "; UPDATE waybill.transactions SET type = 'other' WHERE id = '\(copy)'")
            let finding = try await stored.audit().only(.unexpected)
            #expect(finding.transaction == copy.description)
        }
    }

    @Test func findsARowThatIsThereTwiceWithoutThePrimaryKey() async throws {
        try await StoredRun.with { stored in
            let target = try stored.target()
            try stored.change(
                "ALTER TABLE waybill.transactions DROP CONSTRAINT transactions_pkey; "
                    + StoredRun.copying(target.row.id, "id"))
            let finding = try await stored.audit().only(.duplicated)
            #expect(finding.transaction == target.row.id.description)
            #expect(finding.detail == "the row is there twice")
        }
    }

    @Test(arguments: [Outcome.rejected, .conflict, .duplicate])
    func findsARowOfATransactionThatWasNotAccepted(_ outcome: Outcome) async throws {
        try await StoredRun.with { stored in
            let target = try stored.target()
            let (number, index) = try stored.place(of: outcome)
            let id = stored.run.book.ids.transaction(.init(number: number, index: index))
            try stored.change(
                StoredRun.copying(target.row.id, "'\(id)'")
                    + """
                    ; UPDATE waybill.transactions SET bundle_index = \(index),
                        bundle_id = '\(stored.run.book.bundleID(number))',
                        device_id = '\(stored.device(number))' WHERE id = '\(id)'
                    """)
            let finding = try await stored.audit().only(.unexpected)
            #expect(finding.transaction == id.description)
            #expect(finding.detail.contains("\(outcome)"))
        }
    }

    @Test func findsRowsOfBundlesThatWereRefusedQuarantinedOrNotSent() async throws {
        try await StoredRun.with { stored in
            let target = try stored.target()
            let book = stored.run.book
            let numbers = try [
                #require((0..<40).first { book.recipe($0).fault?.isRefused == true }),
                #require((0..<40).first { book.recipe($0).fault?.quarantine != nil }), 40, 1 << 39,
            ]
            let ids = numbers.map { book.ids.transaction(.init(number: $0, index: 0)) }
            for id in ids { try stored.change(StoredRun.copying(target.row.id, "'\(id)'")) }
            let report = try await stored.audit()
            #expect(Set(report.names(.unexpected)) == Set(ids.map(\.description)))
            #expect(report.counts.values.reduce(0, +) == ids.count)
        }
    }

    @Test func findsARowOfAnIndexThatTheBundleDoesNotHave() async throws {
        try await StoredRun.with { stored in
            let target = try stored.target()
            let id = stored.run.book.ids.transaction(.init(number: target.number, index: 12))
            try stored.change(StoredRun.copying(target.row.id, "'\(id)'"))
            let finding = try await stored.audit().only(.unexpected)
            #expect(finding.transaction == id.description)
        }
        try await StoredRun.with { stored in
            let target = try stored.target()
            let id = TransactionID.random()
            try stored.change(
                StoredRun.copying(target.row.id, "'\(id)'")
                    + "; UPDATE waybill.transactions SET bundle_index = -1 WHERE id = '\(id)'")
            let finding = try await stored.audit().only(.unexpected)
            #expect(finding.transaction == id.description)
        }
    }

    @Test func takesContentThatWasOverwrittenByAConflictForAltered() async throws {
        try await StoredRun.with { stored in
            let (number, index) = try stored.place(of: .conflict)
            let exceptions = stored.run.book.expectation(number, digest: .zero)?.exceptions
            let id = try #require(exceptions?.first { $0.index == index }?.id)
            try stored.change(
                """
                UPDATE waybill.transactions SET bundle_index = \(index),
                    bundle_id = '\(stored.run.book.bundleID(number))' WHERE id = '\(id)'
                """)
            let finding = try await stored.audit().only(.altered)
            #expect(finding.transaction == id.description)
        }
    }

    @Test func leavesRowsOfOtherRunsAloneWhenTheirBundlesHaveReceipts() async throws {
        try await StoredRun.with { stored in
            let target = try stored.target()
            let (settled, unknown) = (BundleID.random(), BundleID.random())
            let (first, second) = (TransactionID.random(), TransactionID.random())
            let place = "bundle_id = '\(settled)'"
            try stored.change(
                StoredRun.copying(target.row.id, "'\(first)'")
                    + "; UPDATE waybill.transactions SET \(place) WHERE id = '\(first)'; "
                    + stored.receipt(device: stored.device(target.number), bundle: settled))
            #expect(try await stored.audit().isClean)
            // Another one's receipt does not help.
            try stored.change(
                StoredRun.copying(target.row.id, "'\(second)'")
                    + "; UPDATE waybill.transactions SET bundle_id = '\(unknown)' "
                    + "WHERE id = '\(second)'")
            let finding = try await stored.audit().only(.unexpected)
            #expect(finding.transaction == second.description)
            #expect(finding.bundle == unknown.description)
        }
    }

    @Test func takesAllRowsOfAnUnansweredBundleOrNone() async throws {
        try await StoredRun.with(unanswered: [37, 38, 39]) { stored in
            let book = stored.run.book
            let number = try #require([37, 38, 39].first { book.recipe($0).fault == nil })
            let rows = book.rows(number)
            // Not settled, or settled without anybody having read the receipt.
            let report = try await stored.audit()
            #expect(report.isClean, "\(report.findings)")
            #expect(report.rowsExpected == stored.rowCount)
            try stored.insert(number)
            let withRows = try await stored.audit()
            #expect(withRows.isClean, "\(withRows.findings)")
            #expect(withRows.rowsExpected == stored.rowCount + rows.count)
            // Half of it never.
            try stored.change("DELETE FROM waybill.transactions WHERE id = '\(rows[1].id)'")
            let finding = try await stored.audit().only(.lost)
            #expect(finding.transaction == rows[1].id.description)
        }
    }

    @Test func asksOfABundleWhoseReceiptNeverCameAllRowsOrNone() async throws {
        try await StoredRun.with(isRead: false) { stored in
            // With no receipts at all, the rows that are there are right.
            #expect(try await stored.audit().isClean)
            let target = try stored.target()
            let bundle = stored.run.book.bundleID(target.number)
            // The receipt audit tells that the bundle is lost; not each row again.
            try stored.change("DELETE FROM waybill.transactions WHERE bundle_id = '\(bundle)'")
            #expect(try await stored.audit().isClean)
        }
    }

    @Test func tellsManyFaultsApart() async throws {
        try await StoredRun.with(bundles: 400) { stored in
            try stored.change("DELETE FROM waybill.transactions WHERE bundle_index = 3")
            try stored.change(
                "UPDATE waybill.transactions SET type = 'other' WHERE bundle_index = 5")
            let report = try await stored.audit()
            let all = (0..<400).filter { stored.run.book.recipe($0).fault == nil }
                .flatMap { stored.run.book.rows($0) }
            #expect(report.count(.lost) == all.count { $0.index == 3 })
            #expect(report.count(.altered) == all.count { $0.index == 5 })
            #expect(report.count(.lost) > AuditReport.findingsMax)
            #expect(report.names(.lost).count == AuditReport.findingsMax)
            #expect(
                report.counts.values.reduce(0, +) == report.count(.lost) + report.count(.altered))
        }
    }

    @Test func findsAReceiptThatTheDatabaseNoLongerHas() async throws {
        try await StoredRun.with { stored in
            let content = stored.run.contents(device: 1)[3]
            try stored.change(
                "DELETE FROM waybill.receipts WHERE bundle_id = '\(content.bundleID)'")
            let finding = try await stored.audit().only(.lost)
            #expect(finding.bundle == content.bundleID.description)
            #expect(finding.device == stored.device(1).description)
            #expect(finding.detail.hasPrefix("receipt 4, "))
        }
    }

    @Test func findsAReceiptThatTheDatabaseTellsDifferently() async throws {
        try await StoredRun.with { stored in
            let content = stored.run.contents(device: 1)[3]
            try stored.change(
                """
                UPDATE waybill.receipts SET document = replace(document, '"seq":4', '"seq":5')
                WHERE bundle_id = '\(content.bundleID)'
                """)
            let finding = try await stored.audit().only(.altered)
            #expect(finding.bundle == content.bundleID.description)
        }
    }

    @Test func findsAReceiptThatIsThereTwiceWithoutItsIndexes() async throws {
        try await StoredRun.with { stored in
            let content = stored.run.contents(device: 1)[3]
            try stored.change(
                """
                ALTER TABLE waybill.receipts DROP CONSTRAINT receipts_pkey;
                DROP INDEX waybill.receipts_by_bundle;
                INSERT INTO waybill.receipts SELECT * FROM waybill.receipts
                WHERE bundle_id = '\(content.bundleID)'
                """)
            let finding = try await stored.audit().only(.duplicated)
            #expect(finding.bundle == content.bundleID.description)
        }
    }

    @Test func auditsASavedRunAgain() async throws {
        try await StoredRun.with { stored in
            try stored.run.ledger.save()
            let directory = stored.run.directory
            let clean = try await LedgerAudit.run(
                directory: directory, connectionString: stored.address)
            #expect(clean.isClean, "\(clean.findings)")
            #expect(clean.rows == stored.rowCount && clean.bundles == 40)
            #expect(clean.receiptsVerified > 30)
            let target = try stored.target()
            try stored.change("DELETE FROM waybill.transactions WHERE id = '\(target.row.id)'")
            let finding = try await LedgerAudit.run(
                directory: directory, connectionString: stored.address
            ).only(.lost)
            #expect(finding.transaction == target.row.id.description)
            // Without the database nobody can know.
            let blind = try await LedgerAudit.run(directory: directory, connectionString: nil)
            #expect(blind.isClean && blind.rows == nil)
        }
    }

    @Test func readsAsAMemberOfWaybillApp() async throws {
        try await StoredRun.with { stored in
            let report = try await stored.audit(role: "waybill_app")
            #expect(report.isClean && report.rows == stored.rowCount, "\(report.findings)")
            let target = try stored.target()
            try stored.change("DELETE FROM waybill.transactions WHERE id = '\(target.row.id)'")
            let finding = try await stored.audit(role: "waybill_app").only(.lost)
            #expect(finding.transaction == target.row.id.description)
        }
    }

    @Test func saysWhatALoginLacks() async throws {
        try await StoredRun.with { stored in
            let role = "audit_test_\(UInt32.random(in: 0...UInt32.max))"
            try stored.change("CREATE ROLE \(role) BYPASSRLS")
            do {
                _ = try await stored.audit(role: role)
                Issue.record("the rows were read without a right to them")
            } catch LedgerFault.notPermitted(let text) {
                #expect(text.contains("waybill_app"))
            }
            try stored.change("DROP ROLE \(role)")
        }
    }

    @Test func saysThatTheTenantIsMissing() async throws {
        try await StoredRun.with { stored in
            try stored.change("UPDATE waybill.tenants SET slug = 'elsewhere' WHERE slug = 'load'")
            await #expect(throws: LedgerFault.tenantMissing("load")) { try await stored.audit() }
        }
    }
}
