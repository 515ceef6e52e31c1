import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillStore

@Suite struct AuditTrailTests {
    /// A walk to its end.
    private func verify(_ store: Store) async throws -> AuditVerification {
        var verifier = AuditVerifier(store: store)
        while try await verifier.step() {}
        return verifier.result
    }

    /// Two devices with five receipts each, and three rows of operators.
    private func withTrails(
        _ body: (SettlementFixture, [RegisteredDevice], PostgresConnection) async throws -> Void
    ) async throws {
        try await SettlementFixture.with { fixture in
            let devices = [
                try await fixture.makeDevice(), try await fixture.makeDevice(tenant: "other"),
            ]
            let settler = fixture.makeSettler()
            for device in devices {
                for number in 0..<5 {
                    _ = try fixture.settle(
                        fixture.bundle(of: device), [fixture.row(0, content: "\(number)")],
                        by: settler)
                }
            }
            for kind in ["tenant.create", "listeners.set", "device.revoke"] {
                try await fixture.store.record(AuditEvent(kind: kind, actor: "somebody"))
            }
            // A superuser, whom no policy holds.
            try await body(fixture, devices, try TestServer.connect(fixture.address))
        }
    }

    @Test func findsUntouchedTrailsIntact() async throws {
        try await withTrails { fixture, _, _ in
            let result = try await verify(fixture.store)
            #expect(result.intact, "\(result.faults)")
            #expect(result.auditRows == 13)
            #expect(result.receipts == 10)
        }
    }

    @Test func walksOverMoreThanOnePageOfDevicesAndRows() async throws {
        try await SettlementFixture.with { fixture in
            let settler = fixture.makeSettler()
            for _ in 0..<70 {
                let device = try await fixture.makeDevice()
                _ = try settler.settle((0..<3).map { _ in fixture.bundle(of: device) }) { _ in }
            }
            let busy = try await fixture.makeDevice()
            for _ in 0..<5 {
                _ = try settler.settle((0..<210).map { _ in fixture.bundle(of: busy) }) { _ in }
            }
            _ = try await fixture.makeDevice()
            let result = try await verify(fixture.store)
            #expect(result.intact, "\(result.faults)")
            #expect(result.receipts == 70 * 3 + 1050)
            #expect(result.auditRows == result.receipts)
        }
    }

    /// BAD-INPUTS: audit row edited by a superuser: `audit verify` names it. Each column that the hash
    /// covers.
    @Test(arguments: [
        "UPDATE waybill.audit_events SET kind = 'bundle.lost' WHERE chain_seq = 3 AND chain_id = $$",
        "UPDATE waybill.audit_events SET details = '{}' WHERE chain_seq = 3 AND chain_id = $$",
        "UPDATE waybill.audit_events SET subject = NULL WHERE chain_seq = 3 AND chain_id = $$",
        "UPDATE waybill.audit_events SET actor = '' WHERE chain_seq = 3 AND chain_id = $$",
        "UPDATE waybill.audit_events SET node = 'x' WHERE chain_seq = 3 AND chain_id = $$",
        "UPDATE waybill.audit_events SET tenant_id = 99 WHERE chain_seq = 3 AND chain_id = $$",
        """
        UPDATE waybill.audit_events SET recorded_at = recorded_at + interval '1 microsecond'
        WHERE chain_seq = 3 AND chain_id = $$
        """,
        "UPDATE waybill.audit_events SET hash = sha256('') WHERE chain_seq = 3 AND chain_id = $$",
    ])
    func anAuditRowEditedByASuperuserIsNamed(script: String) async throws {
        try await withTrails { fixture, devices, superuser in
            let victim = devices[1].deviceID
            try superuser.execute(script: script.replacing("$$", with: "'\(victim)'"))
            let result = try await verify(fixture.store)
            #expect(!result.intact)
            let first = try #require(result.faults.first)
            #expect(first.kind == .edited)
            #expect(first.trail == .audit)
            #expect(first.chain == victim)
            #expect(first.sequence == 3)
        }
    }

    @Test func aRowThatWasTakenOutIsNamedWhereverItStood() async throws {
        for number in [1, 3, 5] {
            try await withTrails { fixture, devices, superuser in
                let victim = devices[0].deviceID
                try superuser.execute(
                    script: """
                        DELETE FROM waybill.audit_events
                        WHERE chain_seq = \(number) AND chain_id = '\(victim)'
                        """)
                let result = try await verify(fixture.store)
                #expect(result.faults.first?.kind == .missing)
                #expect(result.faults.first?.chain == victim)
                #expect(result.faults.first?.sequence == Int64(number))
            }
        }
    }

    /// What is recorded afterwards must not take the place of what was taken off.
    @Test func operatorsRowsTakenOffTheEndStayMissingWhateverIsRecordedAfterwards() async throws {
        try await withTrails { fixture, _, superuser in
            try superuser.execute(
                script: """
                    DELETE FROM waybill.audit_events
                    WHERE chain_seq >= 2 AND chain_id = '\(AuditRow.operators)'
                    """)
            for later in 0..<2 {
                let result = try await verify(fixture.store)
                #expect(result.faults.map(\.kind) == [.missing], "\(later) events later")
                #expect(result.faults.first?.sequence == 2)
                try await fixture.store.record(AuditEvent(kind: "tenant.create", actor: "x"))
            }
        }
    }

    /// The chains of devices keep their ends beside the receipts.
    @Test func devicesRowsTakenOffTheEndStayMissingWhateverIsSettledAfterwards() async throws {
        try await withTrails { fixture, devices, superuser in
            let victim = devices[0]
            try superuser.execute(
                script: """
                    DELETE FROM waybill.audit_events
                    WHERE chain_seq >= 4 AND chain_id = '\(victim.deviceID)'
                    """)
            _ = try fixture.settle(
                fixture.bundle(of: victim), [fixture.row(0, content: "later")],
                by: fixture.makeSettler())
            let result = try await verify(fixture.store)
            #expect(result.faults.map(\.kind) == [.missing])
            #expect(result.faults.first?.chain == victim.deviceID)
            #expect(result.faults.first?.sequence == 4)
        }
    }

    @Test func rowsThatChangedPlacesAreNamed() async throws {
        try await withTrails { fixture, devices, superuser in
            let victim = devices[0].deviceID
            try superuser.execute(
                script: """
                    BEGIN;
                    UPDATE waybill.audit_events SET chain_seq = chain_seq + 100
                    WHERE chain_id = '\(victim)' AND chain_seq IN (2, 3);
                    UPDATE waybill.audit_events SET chain_seq = 105 - chain_seq
                    WHERE chain_id = '\(victim)' AND chain_seq > 100;
                    COMMIT;
                    """)
            let result = try await verify(fixture.store)
            let places = Set(result.faults.map(\.sequence))
            #expect(places.isSuperset(of: [2, 3]))
            #expect(result.faults.allSatisfy { $0.chain == victim })
        }
    }

    @Test func whatOperatorsDidIsChainedToo() async throws {
        for (script, number) in [
            ("DELETE FROM waybill.audit_events WHERE kind = 'device.revoke'", 3),
            ("DELETE FROM waybill.audit_events WHERE kind = 'tenant.create'", 1),
            ("UPDATE waybill.audit_events SET actor = 'x' WHERE kind = 'listeners.set'", 2),
        ] {
            try await withTrails { fixture, _, superuser in
                try superuser.execute(script: script)
                let result = try await verify(fixture.store)
                #expect(result.faults.map(\.sequence) == [Int64(number)], "\(script)")
                #expect(result.faults.first?.chain == AuditRow.operators)
            }
        }
    }

    @Test func rowsOfNobodyAreNamed() async throws {
        try await withTrails { fixture, devices, superuser in
            try superuser.execute(
                script: """
                    UPDATE waybill.audit_events SET chain_id = gen_random_uuid()
                    WHERE chain_id = '\(devices[0].deviceID)' AND chain_seq = 5
                    """)
            let result = try await verify(fixture.store)
            #expect(Set(result.faults.map(\.kind)) == [.missing, .wrongEnd])
        }
    }

    @Test(arguments: [
        "UPDATE waybill.receipts SET document = replace(document, '\"accepted\":1', '\"accepted\":2')",
        "UPDATE waybill.receipts SET document = 'nonsense'",
        "UPDATE waybill.receipts SET state = 'quarantined', code = 'cannot_open'",
        "UPDATE waybill.receipts SET hash = sha256('')",
    ])
    func anEditedReceiptIsNamed(script: String) async throws {
        try await withTrails { fixture, devices, superuser in
            let victim = devices[1].deviceID
            try superuser.execute(script: script + " WHERE seq = 4 AND device_id = '\(victim)'")
            let result = try await verify(fixture.store)
            let first = try #require(result.faults.first)
            #expect(first.kind == .edited)
            #expect(first.trail == .receipts)
            #expect(first.chain == victim)
            #expect(first.sequence == 4)
        }
    }

    @Test func aReceiptThatWasTakenOutOrMadeByAnotherKeyIsNamed() async throws {
        try await withTrails { fixture, devices, superuser in
            try superuser.execute(
                script: """
                    DELETE FROM waybill.receipts
                    WHERE seq = 5 AND device_id = '\(devices[0].deviceID)';
                    """)
            let result = try await verify(fixture.store)
            #expect(result.faults.map(\.kind) == [.missing])
            #expect(result.faults.first?.trail == .receipts)
            try superuser.execute(
                script: "UPDATE waybill.receipt_keys SET public_key = sha256('another')")
            #expect(try await verify(fixture.store).faultCount >= 9)
        }
    }

    @Test func whatIsAppendedDuringAWalkIsNoFault() async throws {
        try await withTrails { fixture, devices, _ in
            let settler = fixture.makeSettler()
            var verifier = AuditVerifier(store: fixture.store)
            while try await verifier.step() {
                for device in devices {
                    _ = try fixture.settle(fixture.bundle(of: device), [], by: settler)
                }
                try await fixture.store.record(AuditEvent(kind: "listeners.set", actor: "x"))
            }
            #expect(verifier.result.intact, "\(verifier.result.faults)")
        }
    }

    // MARK: Pages

    @Test func pagesGoBackToTheBeginningAndMissNothing() async throws {
        try await withTrails { fixture, _, _ in
            var seen: [String] = []
            var query = AuditQuery(limit: 4)
            while true {
                let page = try await fixture.store.audit(query)
                #expect(page.events.map(\.recordedAt) == page.events.map(\.recordedAt).sorted())
                seen += page.events.map { "\($0.chain) \($0.sequence)" }
                guard let older = page.older else { break }
                query.place = .before(try #require(AuditCursor(older)))
            }
            #expect(seen.count == 13)
            #expect(Set(seen).count == 13)
        }
    }

    @Test func filtersByTenantKindAndSubject() async throws {
        try await withTrails { fixture, devices, _ in
            let slug = try #require(TenantSlug("other"))
            let ofTenant = try await fixture.store.audit(AuditQuery(tenant: slug))
            #expect(ofTenant.events.count == 5)
            #expect(ofTenant.events.allSatisfy { $0.chain == devices[1].deviceID })
            let ofKind = try await fixture.store.audit(AuditQuery(kind: "bundle"))
            #expect(ofKind.events.count == 10)
            #expect(try await fixture.store.audit(AuditQuery(kind: "bund")).events.isEmpty)
            let subject = try #require(ofKind.events.first?.subject)
            #expect(
                try await fixture.store.audit(AuditQuery(subject: subject)).events.count == 1)
            let unknown = try #require(TenantSlug("nobody"))
            await #expect(throws: StoreError.self) {
                try await fixture.store.audit(AuditQuery(tenant: unknown))
            }
        }
    }

    @Test func followingMissesNoRowThatIsCommittedLate() async throws {
        try await withTrails { fixture, devices, superuser in
            try await TestServer.waitForOlderTransactions(over: superuser)
            let newest = try await fixture.store.audit(AuditQuery(limit: 1))
            var cursor = try #require(AuditCursor(newest.newer))
            // Recorded first, committed last.
            try superuser.execute(script: "BEGIN; SELECT pg_current_xact_id()")
            try superuser.execute(
                script: """
                    INSERT INTO waybill.audit_events (chain_id, chain_seq, recorded_at, node, kind,
                        actor, details, previous, hash)
                    VALUES (gen_random_uuid(), 1, now(), '', 'late', '', '{}', sha256(''), sha256(''))
                    """)
            _ = try fixture.settle(
                fixture.bundle(of: devices[0]), [], by: fixture.makeSettler())
            let held = try await fixture.store.audit(AuditQuery(place: .after(cursor)))
            #expect(held.events.isEmpty)
            cursor = try #require(AuditCursor(held.newer))
            try superuser.execute(script: "COMMIT")
            try await TestServer.waitForOlderTransactions(over: superuser)
            let all = try await fixture.store.audit(AuditQuery(place: .after(cursor)))
            #expect(all.events.map(\.kind) == ["late", "bundle.settled"])
            cursor = try #require(AuditCursor(all.newer))
            #expect(try await fixture.store.audit(AuditQuery(place: .after(cursor))).events.isEmpty)
        }
    }

    @Test(arguments: ["", "1", "1.2.3", "-1.\(AuditRow.operators).1", "1.\(AuditRow.operators).x"])
    func readsNoCursorThatItDidNotWrite(text: String) {
        #expect(AuditCursor(text) == nil)
    }
}
