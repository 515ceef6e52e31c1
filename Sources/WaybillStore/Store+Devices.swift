package import WaybillModel
internal import WaybillPostgres

extension Store {
    /// Makes the device of an invitation; or gives the device of a rotation its next epoch; or, for
    /// a repeated request of a device that was not seen since, a fresh token and secret again.
    ///
    /// Of a rotated device the old token is worth nothing from here on; its earlier epochs stay open
    /// for the time of grace.
    ///
    /// - Parameter mayReplace: asked before a token and secret are renewed; false where the device
    ///   was seen, and the database was not told so yet.
    /// - Throws: ``StoreError/codeInvalid`` for a code that is unknown, used, replaced or too old,
    ///   and for one of a revoked device; ``StoreError/invalid(_:)`` for a name that is empty, over
    ///   200 characters or has a NUL.
    package func enroll(
        _ request: EnrollmentRequest,
        mayReplace: @escaping @Sendable (DeviceID) -> Bool = { _ in true }
    ) async throws(StoreError) -> Enrollment {
        guard (1...200).contains(request.name.unicodeScalars.count),
            !request.name.unicodeScalars.contains("\0")
        else { throw .invalid("name: 1 to 200 characters") }
        let enrolling = Enrolling(
            request: request, codeHash: InvitationCode.hash(of: request.code),
            secrets: DeviceSecrets(), rootKey: rootKey, epochGrace: options.epochGrace,
            mayReplace: mayReplace)
        return try await perform(as: .server) { connection in
            try enrolling.run(over: connection)
        }
    }

    /// Makes a code whose enrolment returns the same device with the next epoch; ends codes for the
    /// device that were not used. Nothing changes for the device until that enrolment.
    ///
    /// - Throws: ``StoreError/notFound``; ``StoreError/revoked``: a revoked device does not come back.
    package func rotate(_ device: DeviceID) async throws(StoreError) -> Invitation {
        let code = InvitationCode.random()
        let expiresAt = Timestamp.now.advanced(by: InvitationCode.lifetime)
        return try await perform(as: .server) { connection in
            // In the order in which an enrolment locks: the codes, then the device.
            try connection.query(DeviceStatements.voidRotations, [.uuid(device.words)])
            let found = try connection.query(DeviceStatements.lockDevice, [.uuid(device.words)])
            guard found.count == 1 else { throw StoreError.notFound }
            guard try !found[0].bool(2) else { throw StoreError.revoked }
            try connection.query(
                DeviceStatements.insertRotation,
                [
                    .bytes(InvitationCode.hash(of: code).bytes), .int4(try found[0].int4(0)),
                    .timestamp(expiresAt.microseconds), .uuid(device.words),
                    .int4(try found[0].int4(1) + 1),
                ])
            return Invitation(code: code, expiresAt: expiresAt)
        }
    }

    /// Remembers a device's first authenticated request under an epoch: the enrolment that made it
    /// is not repeated from then on.
    package func markSeen(_ device: DeviceID, epoch: Int) async throws(StoreError) {
        try await perform(as: .device(device)) { connection in
            try connection.query(
                DeviceStatements.markSeen,
                [.uuid(device.words), .int4(Int32(clamping: epoch))])
            return
        }
    }

    /// Of one tenant, oldest first.
    ///
    /// - Throws: ``StoreError/notFound`` without that tenant.
    package func devices(tenant: TenantSlug) async throws(StoreError) -> [DeviceSummary] {
        try await perform(as: .server) { connection in
            let tenantID = try Self.tenantID(of: tenant, over: connection)
            return try connection.query(
                StoreStatements.listDevices, [.int4(tenantID.number)]
            ).rows.map { row in
                DeviceSummary(
                    deviceID: DeviceID(try row.uuid(0)), tenant: tenant, name: try row.text(1),
                    epoch: Int(try row.int4(2)), enrolledAt: try row.time(3),
                    revokedAt: try row.timeIfPresent(4), lastReceipt: try row.int8(5),
                    confirmed: try row.int8(6))
            }
        }
    }

    /// Refuses the device's token from now on; what was received of it is settled all the same.
    ///
    /// - Returns: false if there is no such device.
    package func revoke(_ device: DeviceID) async throws(StoreError) -> Bool {
        try await perform(as: .server) { connection in
            let revoked = try connection.query(
                DeviceStatements.revokeDevice, [.uuid(device.words)]
            ).affectedCount
            try connection.query(DeviceStatements.announceDevice, [.text(device.description)])
            return revoked == 1
        }
    }

    /// All devices, or those changed at or after `changedSince` and in the minute before it: a change
    /// counts from the beginning of its transaction, which may have been committed later.
    package func registry(
        changedSince: Timestamp?
    ) async throws(StoreError) -> [RegisteredDevice] {
        let since = changedSince?.advanced(by: .seconds(-60))
        return try await perform(as: .server) { connection in
            try connection.query(
                DeviceStatements.listRegistry, [.timestamp(since?.microseconds)]
            ).rows.map { try RegisteredDevice($0) }
        }
    }

    /// The device with that token, revoked ones included.
    package func device(tokenHash: Digest256) async throws(StoreError) -> RegisteredDevice? {
        try await perform(as: .server) { connection in
            let found = try connection.query(
                DeviceStatements.findDevice, [.bytes(tokenHash.bytes)])
            return found.count == 1 ? try RegisteredDevice(found[0]) : nil
        }
    }
}

extension RegisteredDevice {
    /// A row of `listRegistry` or `findDevice`.
    fileprivate init(_ row: PostgresRow) throws {
        self.init(
            tokenHash: try row.digest(0), deviceID: DeviceID(try row.uuid(1)),
            tenant: try row.int4(2), tenantSlug: try row.slug(3), name: try row.text(4),
            epoch: Int(try row.int4(5)), isRevoked: try row.bool(6), isSeen: try row.bool(7))
    }
}
