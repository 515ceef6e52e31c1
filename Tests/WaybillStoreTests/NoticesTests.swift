import PostgresTesting
import Synchronization
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillStore

/// Two server nodes on one database, as far as they tell each other things.
@Suite struct NoticesTests {
    /// Runs `body` with notices that are connected.
    private func with(
        _ fixture: SettlementFixture, _ bell: ReceiptBell,
        filter: ReceiptFilter = ReceiptFilter(), _ body: (StoreNotices) async throws -> Void
    ) async throws {
        let notices = try StoreNotices(
            connectionString: fixture.address, bell: bell, filter: filter)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await notices.run() }
            while !notices.isConnected { try await Task.sleep(for: .milliseconds(1)) }
            try await body(notices)
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    @Test func anotherNodesReceiptRingsHere() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let here = ReceiptBell()
            let registration = here.register(for: device.deviceID)
            let (own, others) = (ReceiptFilter(), ReceiptFilter())
            own.noteComplete()
            others.noteComplete()
            let new = BundleKey(deviceID: .random(), bundleID: .random())
            try await with(fixture, fixture.bell, filter: own) { _ in
                try await with(fixture, here, filter: others) { _ in
                    _ = try fixture.settle(
                        fixture.bundle(of: device), [fixture.row(0)], by: fixture.makeSettler())
                    #expect(await registration.wait(timeout: .seconds(3600)))
                    // Here one can no longer know; the node that gives all receipts can.
                    #expect(others.mayHold(new))
                    #expect(!own.mayHold(new))
                }
            }
        }
    }

    @Test func enrolmentRotationAndRevocationAreHeardOnAllNodes() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            try await with(fixture, ReceiptBell()) { notices in
                var changes = notices.deviceChanges.makeAsyncIterator()
                // After connecting, whatever happened before.
                _ = await changes.next()
                _ = try await fixture.store.revoke(device.deviceID)
                _ = await changes.next()
                let other = try await fixture.makeDevice()
                _ = await changes.next()
                let code = try await fixture.store.rotate(other.deviceID)
                _ = try await fixture.store.enroll(
                    EnrollmentRequest(code: code.code, name: "x", requestID: nil))
                _ = await changes.next()
            }
        }
    }

    @Test func everythingIsLookedAtAgainAfterANewConnection() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let bell = ReceiptBell()
            try await with(fixture, bell) { notices in
                var connected = notices.connected.makeAsyncIterator()
                _ = await connected.next()
                try TestServer.connect(fixture.address).query(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE application_name = 'waybill notices' AND datname = current_database()
                    """)
                _ = await connected.next()
                var changes = notices.deviceChanges.makeAsyncIterator()
                _ = await changes.next()
                #expect(notices.isConnected)
                _ = device
            }
        }
    }

    @Test func aLostNoticeIsMadeUpForByLookingAgain() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let other = try await fixture.makeDevice()
            let bell = ReceiptBell()
            let registration = bell.register(for: device.deviceID)
            let quiet = bell.register(for: other.deviceID)
            let questions = Mutex<[Int]>([])
            let store = fixture.store
            let recheck = ReceiptRecheck(bell: bell, interval: .seconds(3600)) { devices in
                questions.withLock { $0.append(devices.count) }
                return try await store.lastReceipts(of: devices)
            }
            // What nobody has looked at yet rings in any case.
            var known = await recheck.look([:])
            #expect(await registration.wait(timeout: .seconds(3600)))
            #expect(await quiet.wait(timeout: .seconds(3600)))
            _ = try fixture.settle(
                fixture.bundle(of: device), [fixture.row(0)], by: fixture.makeSettler())
            known = await recheck.look(known)
            #expect(await registration.wait(timeout: .seconds(3600)))
            #expect(await quiet.wait(timeout: .zero) == false)
            #expect(known == [device.deviceID: 1, other.deviceID: 0])
            // One question for all.
            #expect(questions.withLock { $0 } == [2, 2])
        }
    }
}
