import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillStore

@Suite struct RotationTests {
    private func enroll(
        _ fixture: SettlementFixture, _ code: Invitation, requestID: RequestID? = nil
    ) async throws -> Enrollment {
        try await fixture.store.enroll(
            EnrollmentRequest(code: code.code, name: "again", requestID: requestID))
    }

    private func isCodeInvalid(_ error: any Error) -> Bool {
        if case StoreError.codeInvalid = error { true } else { false }
    }

    /// "`rotate` prints a code whose enrolment returns the same device id with the next epoch".
    @Test func aRotationReturnsTheSameDeviceWithTheNextEpoch() async throws {
        try await SettlementFixture.with { fixture in
            let old = try await fixture.makeDevice()
            try await fixture.store.markSeen(old.deviceID, epoch: 1)
            let code = try await fixture.store.rotate(old.deviceID)
            // Until the enrolment nothing has changed for the device.
            #expect(try await fixture.store.device(tokenHash: old.tokenHash)?.epoch == 1)
            let new = try await enroll(fixture, code)
            #expect(new.device.deviceID == old.deviceID)
            #expect(new.device.tenantSlug == old.tenantSlug)
            #expect(new.device.epoch == 2)
            #expect(try await fixture.store.device(tokenHash: old.tokenHash) == nil)
            #expect(
                try await fixture.store.device(tokenHash: new.device.tokenHash) == new.device)
            await #expect { try await enroll(fixture, code) } throws: { isCodeInvalid($0) }
        }
    }

    @Test func bundlesSealedUnderOldOpenEpochsStillOpen() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let first = DeviceEpoch(deviceID: device.deviceID, epoch: 1)
            let second = DeviceEpoch(deviceID: device.deviceID, epoch: 2)
            let settler = fixture.makeSettler()
            #expect(try settler.openEpochs(of: device.deviceID) == [1])
            let new = try await enroll(fixture, try await fixture.store.rotate(device.deviceID))
            // What the ingress does when it learns of the new token.
            fixture.bell.noteEpochChange()
            #expect(try settler.openEpochs(of: device.deviceID) == [2, 1])
            let secrets = try settler.secrets([first, second])
            #expect(secrets.count == 2)
            #expect(secrets[second] == .secret(new.secret))
            #expect(secrets[first] != .secret(new.secret))
        }
    }

    /// The setting `epoch-grace`.
    @Test func epochsBeforeARotationCloseAfterTheTimeOfGrace() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            var options = StoreOptions()
            options.epochGrace = .zero
            let strict = Store(
                pool: fixture.pool, rootKey: fixture.rootKey, bell: fixture.bell, options: options)
            let code = try await strict.rotate(device.deviceID)
            _ = try await strict.enroll(
                EnrollmentRequest(code: code.code, name: "x", requestID: nil))
            let settler = fixture.makeSettler()
            #expect(try settler.openEpochs(of: device.deviceID) == [2])
            let closed = DeviceEpoch(deviceID: device.deviceID, epoch: 1)
            #expect(try settler.secrets([closed]).isEmpty)
        }
    }

    @Test func aRepeatedRotationRequestGetsTheSameEpochUntilTheDeviceIsSeen() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            try await fixture.store.markSeen(device.deviceID, epoch: 1)
            let code = try await fixture.store.rotate(device.deviceID)
            let requestID = RequestID.random()
            let lost = try await enroll(fixture, code, requestID: requestID)
            // A secret that may still change is not remembered.
            let settler = fixture.makeSettler()
            let key = DeviceEpoch(deviceID: device.deviceID, epoch: 2)
            #expect(try settler.secrets([key])[key] == .secret(lost.secret))
            let again = try await enroll(fixture, code, requestID: requestID)
            #expect(again.device.epoch == 2)
            #expect(again.device.deviceID == device.deviceID)
            #expect(again.token != lost.token)
            #expect(try settler.secrets([key])[key] == .secret(again.secret))
            // A first sight under the old epoch, told late, does not count for the new one.
            try await fixture.store.markSeen(device.deviceID, epoch: 1)
            _ = try await enroll(fixture, code, requestID: requestID)
            try await fixture.store.markSeen(device.deviceID, epoch: 2)
            await #expect {
                try await enroll(fixture, code, requestID: requestID)
            } throws: {
                isCodeInvalid($0)
            }
        }
    }

    /// A rotated device is unseen again: that must not bring the code of its first enrolment back.
    @Test func theFirstCodeStaysUsedAfterARotation() async throws {
        try await SettlementFixture.with { fixture in
            let slug = try #require(TenantSlug("acme"))
            _ = try await fixture.store.createTenant(slug)
            let first = try #require(try await fixture.store.invite(tenant: slug, count: 1).first)
            let requestID = RequestID.random()
            let device = try await enroll(fixture, first, requestID: requestID).device
            try await fixture.store.markSeen(device.deviceID, epoch: 1)
            _ = try await enroll(fixture, try await fixture.store.rotate(device.deviceID))
            await #expect {
                try await enroll(fixture, first, requestID: requestID)
            } throws: {
                isCodeInvalid($0)
            }
        }
    }

    @Test func aNewRotationVoidsTheCodeBefore() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let first = try await fixture.store.rotate(device.deviceID)
            let second = try await fixture.store.rotate(device.deviceID)
            await #expect { try await enroll(fixture, first) } throws: { isCodeInvalid($0) }
            #expect(try await enroll(fixture, second).device.epoch == 2)
            let third = try await fixture.store.rotate(device.deviceID)
            #expect(try await enroll(fixture, third).device.epoch == 3)
        }
    }

    @Test func aRotationCodeExpires() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let code = try await fixture.store.rotate(device.deviceID)
            let day = code.expiresAt.seconds(since: .now)
            #expect((86_000...86_400).contains(day))
            try TestServer.connect(fixture.address).execute(
                "UPDATE waybill.invitations SET expires_at = now() WHERE used_at IS NULL")
            await #expect { try await enroll(fixture, code) } throws: { isCodeInvalid($0) }
            #expect(try await fixture.store.device(tokenHash: device.tokenHash) == device)
        }
    }

    @Test func aRevokedDeviceDoesNotComeBack() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let code = try await fixture.store.rotate(device.deviceID)
            #expect(try await fixture.store.revoke(device.deviceID))
            await #expect { try await enroll(fixture, code) } throws: { isCodeInvalid($0) }
            await #expect {
                try await fixture.store.rotate(device.deviceID)
            } throws: {
                if case StoreError.revoked = $0 { true } else { false }
            }
            await #expect {
                try await fixture.store.rotate(.random())
            } throws: {
                if case StoreError.notFound = $0 { true } else { false }
            }
        }
    }

    @Test func ofManyEnrolmentsAtOnceWithOneRotationCodeOneWins() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice()
            let code = try await fixture.store.rotate(device.deviceID)
            let tokens = await withTaskGroup(of: Digest256?.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        // All but one are refused.
                        try? await enroll(fixture, code).device.tokenHash
                    }
                }
                return await group.reduce(into: []) { $0 += [$1].compactMap { $0 } }
            }
            #expect(tokens.count == 1)
            let current = try #require(tokens.first)
            #expect(try await fixture.store.device(tokenHash: current)?.epoch == 2)
        }
    }

    /// The device's own tenant counts, whichever codes other tenants have.
    @Test func aRotationKeepsTheDeviceInItsTenant() async throws {
        try await SettlementFixture.with { fixture in
            let device = try await fixture.makeDevice(tenant: "acme")
            let other = try await fixture.makeDevice(tenant: "beta")
            let new = try await enroll(fixture, try await fixture.store.rotate(device.deviceID))
            #expect(new.device.tenantID == device.tenantID)
            #expect(try await fixture.store.device(tokenHash: other.tokenHash) == other)
            #expect(try fixture.makeSettler().openEpochs(of: other.deviceID) == [1])
        }
    }
}
