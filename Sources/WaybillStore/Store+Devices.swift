internal import Crypto
package import WaybillModel
internal import WaybillPostgres

extension Store {
    /// Makes the device of an invitation, or, for a repeated request of a device that was never seen,
    /// the same device with a fresh token and secret.
    ///
    /// - Throws: ``StoreError/codeInvalid`` for a code that is unknown, used or too old;
    ///   ``StoreError/invalid(_:)`` for a name that is empty, over 200 characters or has a NUL.
    package func enroll(_ request: EnrollmentRequest) async throws(StoreError) -> Enrollment {
        guard (1...200).contains(request.name.unicodeScalars.count), !request.name.contains("\0")
        else { throw .invalid("name: 1 to 200 characters") }
        let secrets = DeviceSecrets()
        let rootKey = rootKey
        return try await perform(as: .server) { connection in
            let hash = InvitationCode.hash(of: request.code)
            let found = try connection.query(
                StoreStatements.lockInvitation, [.bytes(hash.bytes)])
            guard found.count == 1 else { throw StoreError.codeInvalid }
            let invitation = found[0]
            let tenant = TenantID(try invitation.int4(0))
            let device: DeviceID
            let epoch: Int
            if try invitation.bool(3) {
                // The first answer was lost: the same request gets another one.
                guard let requestID = request.requestID,
                    try invitation.uuidIfPresent(5) == requestID.words
                else { throw StoreError.codeInvalid }
                device = DeviceID(try invitation.uuid(4))
                epoch = try Self.renew(device, request, secrets, rootKey, over: connection)
            } else {
                guard try invitation.bool(2) else { throw StoreError.codeInvalid }
                device = .random()
                epoch = 1
                try Self.insert(device, tenant, request, secrets, rootKey, over: connection)
                try connection.query(
                    StoreStatements.useInvitation,
                    [.bytes(hash.bytes), .uuid(device.words), .uuid(request.requestID?.words)])
            }
            let registered = RegisteredDevice(
                tokenHash: secrets.tokenHash, deviceID: device, tenant: tenant.number,
                tenantSlug: try invitation.slug(1), name: request.name, epoch: epoch,
                isRevoked: false, isSeen: false)
            return Enrollment(device: registered, token: secrets.token, secret: secrets.secret)
        }
    }

    /// Remembers a device's first authenticated request: its enrolment is not repeated from then on.
    package func markSeen(_ device: DeviceID) async throws(StoreError) {
        try await perform(as: .device(device)) { connection in
            try connection.query(StoreStatements.markSeen, [.uuid(device.words)])
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
            try connection.query(
                StoreStatements.revokeDevice, [.uuid(device.words)]
            ).affectedCount == 1
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
                StoreStatements.listRegistry, [.timestamp(since?.microseconds)]
            ).rows.map { try RegisteredDevice($0) }
        }
    }

    /// The device with that token, revoked ones included.
    package func device(tokenHash: Digest256) async throws(StoreError) -> RegisteredDevice? {
        try await perform(as: .server) { connection in
            let found = try connection.query(
                StoreStatements.findDevice, [.bytes(tokenHash.bytes)])
            return found.count == 1 ? try RegisteredDevice(found[0]) : nil
        }
    }

    private static func insert(
        _ device: DeviceID, _ tenant: TenantID, _ request: EnrollmentRequest,
        _ secrets: DeviceSecrets, _ rootKey: RootKey, over connection: PostgresConnection
    ) throws {
        try connection.query(
            StoreStatements.insertDevice,
            [
                .uuid(device.words), .int4(tenant.number), .text(request.name),
                .bytes(secrets.tokenHash.bytes),
            ])
        let sealed = try secrets.sealed(for: device, epoch: 1, under: rootKey)
        try connection.query(
            StoreStatements.insertDeviceKey,
            [
                .uuid(device.words), .int4(1), .int4(tenant.number), .bytes(sealed),
                .text(rootKey.keyID),
            ])
        try connection.query(
            StoreStatements.insertProgress, [.uuid(device.words), .int4(tenant.number)])
    }

    /// Gives a device that was never seen a new token and secret; returns its epoch.
    private static func renew(
        _ device: DeviceID, _ request: EnrollmentRequest, _ secrets: DeviceSecrets,
        _ rootKey: RootKey, over connection: PostgresConnection
    ) throws -> Int {
        let renewed = try connection.query(
            StoreStatements.renewDevice,
            [.uuid(device.words), .bytes(secrets.tokenHash.bytes), .text(request.name)])
        guard renewed.count == 1 else { throw StoreError.codeInvalid }
        let epoch = Int(try renewed[0].int4(0))
        let sealed = try secrets.sealed(for: device, epoch: epoch, under: rootKey)
        try connection.query(
            StoreStatements.renewDeviceKey,
            [
                .uuid(device.words), .int4(Int32(clamping: epoch)), .bytes(sealed),
                .text(rootKey.keyID),
            ])
        return epoch
    }
}

/// What a device is told once: 32 random bytes each.
private struct DeviceSecrets: Sendable {
    let token: String
    let secret: [UInt8]

    init() {
        token = Base64URL.encode(Self.random())
        secret = Self.random()
    }

    var tokenHash: Digest256 { Digest256.of(Array(token.utf8)) }

    func sealed(for device: DeviceID, epoch: Int, under rootKey: RootKey) throws -> [UInt8] {
        try rootKey.seal(
            secret, context: Settler.secretContext(DeviceEpoch(deviceID: device, epoch: epoch)))
    }

    private static func random() -> [UInt8] {
        SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) }
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
