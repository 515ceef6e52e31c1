import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillStore

@Suite struct DeadLetterStoreTests {
    private let actor = DeadLetterActor(name: "tester", node: "test", reason: "a test")

    /// Quarantines `count` bundles of a device, one a settlement, so that each has its own time.
    @discardableResult
    private func quarantine(
        _ count: Int, of device: RegisteredDevice, code: QuarantineCode = .cannotOpen,
        _ fixture: SettlementFixture
    ) throws -> [DeadLetterID] {
        let settler = fixture.makeSettler()
        return try (0..<count).map { number in
            let file = DeadLetterFile(
                id: .random(), name: "\(device.deviceID)-\(number)", byteCount: 3000)
            let bundle = fixture.bundle(
                of: device,
                verdict: .quarantined(code: code, detail: "a detail", deadLetter: file))
            _ = try fixture.settle(bundle, [], by: settler)
            return file.id
        }
    }

    private func list(
        _ fixture: SettlementFixture, _ filter: DeadLetterFilter = DeadLetterFilter(),
        state: DeadLetterState = .open
    ) async throws -> [DeadLetterID] {
        try await fixture.store.deadLetters(
            DeadLetterQuery(filter: filter, state: state, limit: 1000)
        ).map(\.id)
    }

    @Test func tellsAllThatIsKnownOfADeadLetter() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let id = try #require(try quarantine(1, of: device, fixture).first)
            let letter = try #require(try await fixture.store.deadLetter(id))
            #expect(letter.tenantSlug == device.tenantSlug)
            #expect(letter.deviceID == device.deviceID)
            #expect(letter.deviceName == "device")
            #expect(letter.bundleDigest == Digest256.of(letter.bundleID.bytes))
            #expect(letter.receiptSeq == 1)
            #expect(letter.code == "cannot_open")
            #expect(letter.detail == "a detail")
            #expect(letter.epoch == 1)
            #expect(letter.partByteCounts == [1000, 2000])
            #expect(letter.byteCount == 3000)
            #expect(letter.node == "test")
            #expect(letter.attempts == 0)
            #expect(letter.resolution == nil)
            #expect(!letter.isRetrying)
            #expect(try await fixture.store.deadLetter(.random()) == nil)
        }
    }

    @Test func listsByEachFilterInOrderOfTime() async throws {
        try await SettlementFixture.with { fixture in
            let first = try await fixture.makeDevice()
            let second = try await fixture.makeDevice()
            let other = try await fixture.makeDevice(tenant: "other")
            let a = try quarantine(3, of: first, fixture)
            let b = try quarantine(2, of: second, code: .limitUnzipped, fixture)
            let c = try quarantine(1, of: other, fixture)
            #expect(try await list(fixture) == a + b + c)
            #expect(try await list(fixture, .init(tenant: first.tenantSlug)) == a + b)
            #expect(try await list(fixture, .init(device: second.deviceID)) == b)
            #expect(try await list(fixture, .init(code: .limitUnzipped)) == b)
            let time = try #require(try await fixture.store.deadLetter(b[0])).createdAt
            #expect(try await list(fixture, .init(before: time)) == a)
            #expect(
                try await list(fixture, .init(tenant: other.tenantSlug, code: .limitUnzipped))
                    == [])
            let totals = try await fixture.store.deadLetterTotals(.init(tenant: first.tenantSlug))
            #expect(totals == DeadLetterTotals(count: 5, bytes: 15_000))
            for filter: DeadLetterFilter in [
                .init(tenant: TenantSlug("nobody")), .init(device: .random()),
            ] {
                await #expect {
                    try await fixture.store.deadLetters(DeadLetterQuery(filter: filter, limit: 1))
                } throws: {
                    if case StoreError.invalid = $0 { true } else { false }
                }
            }
        }
    }

    @Test func pagesGoThroughTheWholeFilterAlsoWhileItChanges() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let ids = try quarantine(10, of: device, fixture)
            var query = DeadLetterQuery(limit: 3)
            var seen: [DeadLetterID] = []
            while true {
                let page = try await fixture.store.deadLetters(query)
                guard let last = page.last else { break }
                seen += page.map(\.id)
                // What was seen leaves the filter.
                _ = try await fixture.store.discard(page, by: actor)
                query.after = DeadLetterQuery.Position(last)
            }
            #expect(seen == ids)
            #expect(try await list(fixture) == [])
            #expect(try await list(fixture, state: .resolved) == ids)
            #expect(try await list(fixture, state: .all) == ids)
        }
    }

    @Test func whatIsDiscardedOrRetriedIsNobodyElses() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let ids = try quarantine(2, of: device, fixture)
            let letters = try await fixture.store.deadLetters(DeadLetterQuery(limit: 10))
            let store = fixture.store
            #expect(try await store.claimRetries([letters[0]], by: actor) == [ids[0]])
            #expect(try await store.claimRetries(letters, by: actor) == [ids[1]])
            #expect(try await store.discard(letters, by: actor) == [])
            #expect(try await store.deadLetter(ids[0])?.isRetrying == true)
            try await store.releaseRetries([ids[0]])
            #expect(try await store.deadLetter(ids[0])?.isRetrying == false)
            #expect(try await store.discard(letters, by: actor) == [ids[0]])
            let discarded = try #require(try await store.deadLetter(ids[0]))
            #expect(discarded.resolution == "discarded")
            #expect(discarded.resolvedAt != nil)
            #expect(try await store.claimRetries(letters, by: actor) == [])
            #expect(try await store.discard(letters, by: actor) == [])
            #expect(
                try fixture.number(
                    "SELECT count(*) FROM waybill.audit_events WHERE kind = 'dead_letter.retry'")
                    == 2)
            #expect(
                try fixture.number(
                    "SELECT count(*) FROM waybill.audit_events WHERE kind = 'dead_letter.discard'")
                    == 1)
        }
    }

    /// What a listener does after a failed retry.
    @Test func aFailedRetryFreesTheLetter() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let id = try #require(try quarantine(1, of: device, fixture).first)
            let letters = try await fixture.store.deadLetters(DeadLetterQuery(limit: 10))
            _ = try await fixture.store.claimRetries(letters, by: actor)
            let listener = try TestServer.connect(fixture.address, role: "waybill_ingest")
            try listener.query(
                """
                UPDATE waybill.dead_letters SET attempts = attempts + 1, last_error = 'why'
                WHERE dead_letter_id = $1::uuid AND resolved_at IS NULL
                """, [.uuid(id.words)])
            let letter = try #require(try await fixture.store.deadLetter(id))
            #expect(letter.attempts == 1)
            #expect(letter.lastError == "why")
            #expect(!letter.isRetrying)
            #expect(try await fixture.store.claimRetries(letters, by: actor) == [id])
            try listener.query(
                """
                UPDATE waybill.dead_letters SET resolved_at = now(), resolution = 'settled'
                WHERE dead_letter_id = $1::uuid AND resolved_at IS NULL
                """, [.uuid(id.words)])
            #expect(try await fixture.store.deadLetter(id)?.resolution == "settled")
        }
    }

    @Test func aClaimThatWasForgottenEndsAfterTenMinutes() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let id = try #require(try quarantine(1, of: device, fixture).first)
            let letters = try await fixture.store.deadLetters(DeadLetterQuery(limit: 10))
            _ = try await fixture.store.claimRetries(letters, by: actor)
            try TestServer.connect(fixture.address).query(
                """
                UPDATE waybill.dead_letters SET retry_asked_at = now() - interval '11 minutes'
                """)
            #expect(try await fixture.store.deadLetter(id)?.isRetrying == false)
            #expect(try await fixture.store.claimRetries(letters, by: actor) == [id])
        }
    }

    @Test func ofManyAtOnceExactlyOneGetsEachLetter() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let ids = try quarantine(8, of: device, fixture)
            let letters = try await fixture.store.deadLetters(DeadLetterQuery(limit: 10))
            let actor = actor
            let store = fixture.store
            let taken = try await withThrowingTaskGroup(of: [DeadLetterID].self) { group in
                for number in 0..<6 {
                    group.addTask {
                        let mine = number % 2 == 0 ? letters : letters.reversed()
                        return Array(
                            number % 3 == 0
                                ? try await store.claimRetries(mine, by: actor)
                                : try await store.discard(mine, by: actor))
                    }
                }
                return try await group.reduce(into: [DeadLetterID]()) { $0 += $1 }
            }
            #expect(taken.count == 8)
            #expect(Set(taken) == Set(ids))
        }
    }

    @Test func aFileWithoutAnOpenLetterIsAnOrphanUnlessItsDeviceIsUnknown() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            try quarantine(2, of: device, fixture)
            let letters = try await fixture.store.deadLetters(DeadLetterQuery(limit: 10))
            _ = try await fixture.store.discard([letters[0]], by: actor)
            let names = letters.map(\.fileName) + ["unknown"]
            let known = try await fixture.store.orphans(
                among: names.map { (name: $0, device: device.deviceID) })
            #expect(Set(known) == [letters[0].fileName, "unknown"])
            let unknown = try await fixture.store.orphans(
                among: names.map { (name: $0, device: .random()) })
            #expect(unknown == [])
        }
    }
}
