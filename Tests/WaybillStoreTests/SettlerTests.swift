import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres
import WaybillThreads

@testable import WaybillStore

@Suite struct SettlerTests {
    @Test func storesNewTransactionsAndSignsAReceipt() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let rows = (0..<5).map { fixture.row($0, content: #"{"n":\#($0)}"#) }
            let settled = try fixture.settle(
                fixture.bundle(of: device), rows, by: fixture.makeSettler())
            #expect(settled.counts == OutcomeCounts(accepted: 5))
            #expect(settled.receiptSequence == 1)
            #expect(!settled.isRepeat)
            let receipts = try await fixture.verifiedReceipts(of: device.deviceID)
            #expect(receipts.map(\.counts) == [OutcomeCounts(accepted: 5)])
            #expect(
                try fixture.number(
                    "SELECT count(*) FROM transactions WHERE payload ? 'n' AND offset_minutes = 60"
                ) == 5)
        }
    }

    @Test func tellsDuplicatesFromConflicts() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let settler = fixture.makeSettler()
            let (first, second) = (TransactionID.random(), TransactionID.random())
            _ = try fixture.settle(
                fixture.bundle(of: device),
                [
                    fixture.row(0, id: first, content: "1"),
                    fixture.row(1, id: second, content: "2"),
                ],
                by: settler)
            let again = try fixture.settle(
                fixture.bundle(of: device),
                [
                    fixture.row(0, id: first, content: "1"),
                    fixture.row(1, id: second, content: "3"), fixture.row(2, content: "4"),
                ], by: settler)
            #expect(again.counts == OutcomeCounts(accepted: 1, duplicate: 1, conflict: 1))
            #expect(
                try fixture.number(
                    "SELECT count(*) FROM transactions WHERE payload IN ('1', '2', '4')") == 3)
            let kept = try TestServer.connect(fixture.address).query(
                """
                SELECT device_id, bundle_id, bundle_index, raw FROM exceptions
                WHERE outcome = 'conflict'
                """)
            #expect(kept.count == 1)
            let reference = BundleKey(
                deviceID: DeviceID(try kept[0].uuid(0)), bundleID: BundleID(try kept[0].uuid(1)))
            let raw = try fixture.rootKey.open(
                kept[0].bytes(3),
                context: SealedLine.context(reference, index: Int(try kept[0].int4(2))))
            #expect(String(decoding: raw, as: UTF8.self) == "raw 3")
        }
    }

    @Test func theLowestIndexOfEqualIDsInABundleWins() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let id = TransactionID.random()
            let settled = try fixture.settle(
                fixture.bundle(of: device),
                [
                    fixture.row(2, id: id, content: "3"), fixture.row(1, id: id, content: "1"),
                    fixture.row(0, id: id, content: "1"),
                ], by: fixture.makeSettler())
            #expect(settled.counts == OutcomeCounts(accepted: 1, duplicate: 1, conflict: 1))
            let receipts = try await fixture.verifiedReceipts(of: device.deviceID)
            guard case .array(let exceptions)? = receipts.first?.document["exceptions"] else {
                Issue.record("no exceptions")
                return
            }
            #expect(exceptions.map { $0["index"]?.integer } == [1, 2])
            #expect(exceptions.map { $0["outcome"]?.text } == ["duplicate", "conflict"])
        }
    }

    @Test func comparesRowsOfLaterCallsWithThoseOfEarlierOnes() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let id = TransactionID.random()
            let settled = try fixture.makeSettler().settle([fixture.bundle(of: device)]) { work in
                try work.insert([fixture.row(0, id: id, content: "1")])
                try work.insert([fixture.row(1, id: id, content: "1")])
                try work.insert([fixture.row(2, id: id, content: "2")])
            }
            #expect(
                settled.map(\.counts) == [OutcomeCounts(accepted: 1, duplicate: 1, conflict: 1)])
        }
    }

    @Test func anIDBelongsToOneTenant() async throws {
        try await SettlementFixture.with { fixture in
            let one = try await fixture.makeDevice(tenant: "one")
            let two = try await fixture.makeDevice(tenant: "two")
            let id = TransactionID.random()
            let settled = try fixture.makeSettler().settle([
                fixture.bundle(of: one), fixture.bundle(of: two),
            ]) { work in
                try work.insert([
                    fixture.row(0, id: id, bundle: 0, content: "1"),
                    fixture.row(0, id: id, bundle: 1, content: "2"),
                ])
            }
            #expect(settled.map(\.counts) == Array(repeating: OutcomeCounts(accepted: 1), count: 2))
        }
    }

    @Test func leavesABundleThatHasAReceiptAsItIs() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let settler = fixture.makeSettler()
            let bundle = fixture.bundle(of: device)
            let rows = [fixture.row(0)]
            let first = try fixture.settle(bundle, rows, by: settler)
            var wasKnown = false
            let again = try settler.settle([bundle]) { work in
                wasKnown = work.alreadySettled == [0]
                try work.insert(rows)
            }
            #expect(wasKnown)
            #expect(again.map(\.isRepeat) == [true])
            #expect(again.map(\.receiptSequence) == [first.receiptSequence])
            #expect(again.map(\.counts) == [first.counts])
            #expect(try await fixture.verifiedReceipts(of: device.deviceID).count == 1)
            #expect(try fixture.number("SELECT count(*) FROM audit_events") == 1)
            var altered = bundle
            altered.bundleDigest = .zero
            #expect(try settler.settle([altered]) { _ in }.map(\.isRepeat) == [true])
            #expect(
                try fixture.number(
                    """
                    SELECT count(*) FROM audit_events
                    WHERE kind = 'bundle.repeated_with_other_bytes' AND chain_seq = 2
                    """) == 1)
        }
    }

    @Test func settlesABundleOnceThatStandsTwiceInABatch() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let bundle = fixture.bundle(of: device)
            let settled = try fixture.makeSettler().settle([bundle, bundle]) { work in
                #expect(work.alreadySettled == [1])
                try work.insert([fixture.row(0, bundle: 0), fixture.row(0, bundle: 1)])
            }
            #expect(settled.map(\.isRepeat) == [false, true])
            #expect(settled.map(\.receiptSequence) == [1, 1])
        }
    }

    @Test func chainsReceiptsWithoutAGap() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let other = try await fixture.makeDevice()
            let settler = fixture.makeSettler()
            for _ in 0..<3 {
                let bundles = [
                    fixture.bundle(of: device), fixture.bundle(of: other),
                    fixture.bundle(of: device),
                ]
                _ = try settler.settle(bundles) { work in
                    try work.insert((0..<3).map { fixture.row(0, bundle: $0) })
                }
            }
            // The chains are checked in there.
            #expect(
                try await fixture.verifiedReceipts(of: device.deviceID).map(\.sequence)
                    == [1, 2, 3, 4, 5, 6])
            #expect(
                try await fixture.verifiedReceipts(of: other.deviceID).map(\.sequence) == [1, 2, 3])
        }
    }

    @Test func exactlyOneOfManyConcurrentSettlersStoresAnID() async throws {
        try await SettlementFixture.with { fixture in
            var devices: [RegisteredDevice] = []
            for _ in 0..<8 { devices.append(try await fixture.makeDevice()) }
            let ids = (0..<300).map { _ in TransactionID.random() }
            let results = Monitor<[Result<OutcomeCounts, any Error>]>([])
            let threads = try devices.enumerated().map { number, device in
                try NamedThread(name: "settler-\(number)") {
                    let settler = fixture.makeSettler()
                    for round in 0..<5 {
                        // Half of the settlers write other content; each in an order of its own.
                        let rows = ids[round * 60..<round * 60 + 60].shuffled().enumerated().map {
                            fixture.row($0.offset, id: $0.element, content: "\(number % 2)")
                        }
                        let result = Result {
                            try fixture.settle(fixture.bundle(of: device), rows, by: settler).counts
                        }
                        results.update { $0.append(result) }
                    }
                }
            }
            for thread in threads { thread.join() }
            let counts = try results.withLock { $0 }.map { try $0.get() }
            #expect(counts.count == 40)
            #expect(counts.reduce(0) { $0 + $1.accepted } == 300)
            #expect(counts.reduce(0) { $0 + $1.duplicate } == 900)
            #expect(counts.reduce(0) { $0 + $1.conflict } == 1200)
            #expect(try fixture.number("SELECT count(*) FROM transactions") == 300)
        }
    }

    @Test func setsAsideOnlyTheRowsThatPostgreSQLRefuses() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let claimed = TransactionID.random()
            var rows = (0..<500).map { fixture.row($0, content: #"{"n":\#($0)}"#) }
            rows[17] = fixture.row(17, id: claimed, content: #"{"a":"\u0000"}"#)
            rows[18] = fixture.row(18, content: #"{"a":"#)
            rows[499] = fixture.row(499, content: #"{"a":"\ud800"}"#)
            // A refused line does not claim its id.
            rows[400] = fixture.row(400, id: claimed, content: "1")
            let settled = try fixture.settle(
                fixture.bundle(of: device), rows, by: fixture.makeSettler())
            #expect(settled.counts == OutcomeCounts(accepted: 497, rejected: 3))
            #expect(
                try fixture.number(
                    """
                    SELECT count(*) FROM exceptions
                    WHERE code = 'unstorable' AND bundle_index IN (17, 18, 499)
                    """) == 3)
            #expect(try fixture.number("SELECT count(*) FROM transactions") == 497)
        }
    }

    @Test func keepsRejectedLinesSealed() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let settled = try fixture.makeSettler().settle([fixture.bundle(of: device)]) { work in
                try work.reject([
                    RejectedLine(
                        bundle: 0, index: 0, id: nil, code: .invalidJSON, detail: "not JSON",
                        raw: Array("secret".utf8)[...])
                ])
                try work.insert([fixture.row(1)])
            }
            #expect(settled.map(\.counts) == [OutcomeCounts(accepted: 1, rejected: 1)])
            #expect(
                try fixture.number(
                    "SELECT count(*) FROM exceptions WHERE position('secret'::bytea IN raw) = 0")
                    == 1)
        }
    }

    @Test func givesAQuarantinedBundleAReceiptAndADeadLetter() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let file = DeadLetterFile(id: .random(), name: "letter", byteCount: 3000)
            let bundle = fixture.bundle(
                of: device,
                verdict: .quarantined(code: .cannotOpen, detail: "wrong key", deadLetter: file))
            let settled = try fixture.makeSettler().settle([bundle]) { _ in }
            #expect(settled.map(\.state) == [.quarantined])
            let receipt = try #require(
                try await fixture.verifiedReceipts(of: device.deviceID).first)
            #expect(receipt.state == "quarantined")
            #expect(receipt.document["code"]?.text == "cannot_open")
            #expect(receipt.counts == nil)
            #expect(try await fixture.store.deadLetterCount() == 1)
        }
    }

    @Test func takesNothingOfABatchWhoseLinesFail() async throws {
        struct Stop: Error {}
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let settler = fixture.makeSettler()
            let bundle = fixture.bundle(of: device)
            #expect(throws: Stop.self) {
                try settler.settle([bundle]) { work in
                    try work.insert([fixture.row(0)])
                    throw Stop()
                }
            }
            #expect(try fixture.number("SELECT count(*) FROM transactions") == 0)
            #expect(try fixture.settle(bundle, [fixture.row(0)], by: settler).receiptSequence == 1)
        }
    }

    @Test func tracksTheDevicesOwnCountOfBundles() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let settler = fixture.makeSettler()
            for number in [1, 2, 6, 4, 4] as [Int64] {
                let bundle = fixture.bundle(of: device, sequence: number)
                _ = try fixture.settle(bundle, [fixture.row(0)], by: settler)
            }
            let progress = try await fixture.store.progress(device.deviceID)
            #expect(progress.deviceSequence == 6)
            #expect(progress.gaps == [3...3, 5...5])
            #expect(progress.last == 5)
        }
    }

    @Test func goesOnAfterTheServerEndedItsSession() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let settler = fixture.makeSettler()
            _ = try fixture.settle(fixture.bundle(of: device), [fixture.row(0)], by: settler)
            let bundle = fixture.bundle(of: device)
            let owner = try TestServer.connect(fixture.address)
            let error = #expect(throws: StoreError.self) {
                try settler.settle([bundle]) { work in
                    try owner.execute(
                        """
                        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                        WHERE application_name = 'waybill listener'
                            AND datname = current_database()
                        """)
                    try work.insert([fixture.row(0)])
                }
            }
            #expect(error?.isRetryable == true)
            #expect(try fixture.settle(bundle, [fixture.row(0)], by: settler).receiptSequence == 2)
        }
    }

    @Test func findsSecretsAndOpenEpochs() async throws {
        try await SettlementFixture.with { fixture in
            let slug = try #require(TenantSlug("acme"))
            _ = try await fixture.store.createTenant(slug)
            let code = try #require(try await fixture.store.invite(tenant: slug, count: 1).first)
            let enrollment = try await fixture.store.enroll(
                EnrollmentRequest(code: code.code, name: "phone", requestID: nil))
            let settler = fixture.makeSettler()
            let known = DeviceEpoch(deviceID: enrollment.device.deviceID, epoch: 1)
            let unknown = DeviceEpoch(deviceID: enrollment.device.deviceID, epoch: 2)
            #expect(try settler.secrets([known, unknown]) == [known: .secret(enrollment.secret)])
            #expect(try settler.openEpochs(of: enrollment.device.deviceID) == [1])
            #expect(try settler.openEpochs(of: .random()) == [])
        }
    }
}
