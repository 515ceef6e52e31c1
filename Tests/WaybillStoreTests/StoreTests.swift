import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillStore

@Suite struct StoreTests {
    private func slug(_ text: String) throws -> TenantSlug {
        try #require(TenantSlug(text))
    }

    @Test func refusesASecondTenantOfOneName() async throws {
        try await SettlementFixture.with { fixture in
            let acme = try slug("acme")
            #expect(try await fixture.store.createTenant(acme).name == acme)
            await #expect {
                try await fixture.store.createTenant(acme)
            } throws: {
                if case StoreError.alreadyExists = $0 { true } else { false }
            }
            #expect(try await fixture.store.tenants().map(\.name) == [acme])
        }
    }

    @Test func anEnrolmentCodeWorksOnce() async throws {
        try await SettlementFixture.with { fixture in
            let acme = try slug("acme")
            _ = try await fixture.store.createTenant(acme)
            let code = try #require(try await fixture.store.invite(tenant: acme, count: 1).first)
            let typed = code.code.lowercased().prefix(5) + "-" + code.code.dropFirst(5)
            let request = EnrollmentRequest(code: String(typed), name: "phone", requestID: nil)
            let enrollment = try await fixture.store.enroll(request)
            let found = try await fixture.store.device(
                tokenHash: Digest256.of(Array(enrollment.token.utf8)))
            #expect(found == enrollment.device)
            await #expect(throws: StoreError.self) { try await fixture.store.enroll(request) }
            let unknown = EnrollmentRequest(code: "ABC", name: "phone", requestID: nil)
            await #expect(throws: StoreError.self) { try await fixture.store.enroll(unknown) }
        }
    }

    @Test func aRepeatedRequestGetsTheSameDeviceUntilItIsSeen() async throws {
        try await SettlementFixture.with { fixture in
            let acme = try slug("acme")
            _ = try await fixture.store.createTenant(acme)
            let code = try #require(try await fixture.store.invite(tenant: acme, count: 1).first)
            let request = EnrollmentRequest(code: code.code, name: "phone", requestID: .random())
            let first = try await fixture.store.enroll(request)
            let second = try await fixture.store.enroll(request)
            #expect(first.device.deviceID == second.device.deviceID)
            #expect(first.token != second.token)
            #expect(first.secret != second.secret)
            let key = DeviceEpoch(deviceID: second.device.deviceID, epoch: 1)
            #expect(try fixture.makeSettler().secrets([key]) == [key: .secret(second.secret)])
            // The first token is worth nothing any more.
            #expect(
                try await fixture.store.device(tokenHash: first.device.tokenHash) == nil)
            let other = EnrollmentRequest(code: code.code, name: "phone", requestID: .random())
            await #expect(throws: StoreError.self) { try await fixture.store.enroll(other) }
            try await fixture.store.markSeen(first.device.deviceID, epoch: 1)
            await #expect(throws: StoreError.self) { try await fixture.store.enroll(request) }
        }
    }

    @Test func theRegistryTellsOfChanges() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            #expect(try await fixture.store.registry(changedSince: nil) == [device])
            try await fixture.store.markSeen(device.deviceID, epoch: 1)
            #expect(try await fixture.store.revoke(device.deviceID))
            #expect(try await !fixture.store.revoke(.random()))
            let changed = try await fixture.store.registry(changedSince: .now)
            #expect(changed.map(\.isRevoked) == [true])
            #expect(changed.map(\.isSeen) == [true])
            let later = Timestamp.now.advanced(by: .seconds(3600))
            #expect(try await fixture.store.registry(changedSince: later) == [])
            let summaries = try await fixture.store.devices(tenant: device.tenantSlug)
            #expect(summaries.map(\.deviceID) == [device.deviceID])
            #expect(summaries.first?.revokedAt != nil)
        }
    }

    @Test func servesReceiptsInPortionsButAtLeastOne() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let settler = fixture.makeSettler()
            let bundles = (0..<5).map { _ in fixture.bundle(of: device) }
            _ = try settler.settle(bundles) { work in
                try work.insert((0..<5).map { fixture.row(0, bundle: $0) })
            }
            func receipts(after: Int64, limit: Int, bytesMax: Int) async throws -> ReceiptBatch {
                try await fixture.store.receipts(
                    device.deviceID, after: after, limit: limit, bytesMax: bytesMax)
            }
            let all = try await receipts(after: 0, limit: 100, bytesMax: 1 << 20)
            #expect(all.documents.count == 5)
            #expect(all.last == 5)
            #expect(all.safeThrough == 5)
            #expect(
                try await receipts(after: 0, limit: 100, bytesMax: 1).documents
                    == [all.documents[0]])
            let two = all.documents[1].utf8.count + all.documents[2].utf8.count
            #expect(
                try await receipts(after: 1, limit: 100, bytesMax: two).documents
                    == Array(all.documents[1...2]))
            #expect(
                try await receipts(after: 3, limit: 1, bytesMax: 1 << 20).documents
                    == [all.documents[3]])
            #expect(try await receipts(after: 5, limit: 9, bytesMax: 1 << 20).documents == [])
            let keys = bundles.map(\.key)
            let missing = BundleKey(deviceID: device.deviceID, bundleID: .random())
            let found = try await fixture.store.receipts(of: keys + [missing])
            #expect(found.count == 5)
            #expect(found[keys[2]]?.document == all.documents[2])
            #expect(found[keys[2]]?.bundleDigest == bundles[2].bundleDigest)
            #expect(found[keys[2]]?.partByteCounts == [1000, 2000])
            #expect(found[keys[2]]?.state == .settled)
        }
    }

    @Test func confirmsOnlyWhatWasIssuedAndNeverGoesBack() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let bundles = (0..<3).map { _ in fixture.bundle(of: device) }
            _ = try fixture.makeSettler().settle(bundles) { _ in }
            await #expect {
                try await fixture.store.confirm(device.deviceID, through: 4)
            } throws: {
                if case StoreError.notIssued(last: 3) = $0 { true } else { false }
            }
            try await fixture.store.confirm(device.deviceID, through: 3)
            try await fixture.store.confirm(device.deviceID, through: 1)
            #expect(try await fixture.store.progress(device.deviceID).confirmed == 3)
        }
    }

    @Test func keepsOneSigningKey() async throws {
        try await SettlementFixture.with { fixture in
            let again = try await fixture.store.signer()
            #expect(again.keyID == fixture.signer.keyID)
            let keys = try await fixture.store.receiptKeys()
            #expect(keys.map(\.publicKey) == [Base64URL.encode(fixture.signer.publicKey)])
            let stranger = Store(
                pool: fixture.pool, rootKey: RootKey(bytes: Array(1...32)), bell: ReceiptBell())
            await #expect(throws: StoreError.self) { try await stranger.signer() }
        }
    }

    @Test func chainsWhatOperatorsDo() async throws {
        try await SettlementFixture.with { fixture in
            _ = try await fixture.makeDevice()
            try await fixture.store.record(
                AuditEvent(kind: "tenant.create", actor: "local", tenant: TenantSlug("acme")))
            try await fixture.store.record(AuditEvent(kind: "device.revoke", actor: "local"))
            #expect(
                try fixture.number(
                    """
                    SELECT count(*) FROM audit_events AS a JOIN audit_events AS b
                        ON b.chain_id = a.chain_id AND b.chain_seq = a.chain_seq + 1
                            AND b.previous = a.hash
                    WHERE a.chain_id = '00000000-0000-0000-0000-000000000000'
                    """) == 1)
        }
    }

    @Test func ringsTheBellForADeviceWithANewReceipt() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let registration = fixture.bell.register(for: device.deviceID)
            _ = try fixture.settle(
                fixture.bundle(of: device), [fixture.row(0)], by: fixture.makeSettler())
            // The ring came before the wait and is not lost.
            await registration.wait(timeout: .seconds(3600))
        }
    }

    @Test func saysThatTheDatabaseIsAway() async throws {
        let pool = try Store.makePool(connectionString: "host=/nowhere user=nobody dbname=none")
        let store = Store(
            pool: pool, rootKey: RootKey(bytes: Array(0..<32)), bell: ReceiptBell())
        let error = await #expect(throws: StoreError.self) { try await store.ping() }
        #expect(error?.isRetryable == true)
        #expect(error?.shortDescription == "unavailable")
        pool.close()
    }
}
