internal import Crypto
internal import WaybillModel
internal import WaybillPostgres

/// One enrolment inside its transaction.
struct Enrolling: Sendable {
    let request: EnrollmentRequest
    let codeHash: Digest256
    let secrets: DeviceSecrets
    let rootKey: RootKey
    /// For how long the epochs before a rotation stay open.
    let epochGrace: Duration
    /// Whether a device that the database has not seen may get another token and secret.
    let mayReplace: @Sendable (DeviceID) -> Bool

    /// What the code is for, locked until the transaction ends.
    private struct Invited {
        let tenant: TenantID
        let slug: TenantSlug
        let isAlive: Bool
        let isUsed: Bool
        /// The device that it has made; nil while it is not used.
        let device: DeviceID?
        let requestID: UUIDWords?
        let rotates: DeviceID?
        let epoch: Int32

        init(_ row: PostgresRow) throws {
            tenant = TenantID(try row.int4(0))
            slug = try row.slug(1)
            isAlive = try row.bool(2)
            isUsed = try row.bool(3)
            device = try row.uuidIfPresent(4).map { DeviceID($0) }
            requestID = try row.uuidIfPresent(5)
            rotates = try row.uuidIfPresent(6).map { DeviceID($0) }
            epoch = try row.int4(7)
        }
    }

    func run(over connection: PostgresConnection) throws -> Enrollment {
        let found = try connection.query(DeviceStatements.lockInvitation, [.bytes(codeHash.bytes)])
        guard found.count == 1 else { throw StoreError.codeInvalid }
        let invited = try Invited(found[0])
        let device = try take(invited, over: connection)
        try connection.query(DeviceStatements.announceDevice, [.text(device.description)])
        let registered = RegisteredDevice(
            tokenHash: secrets.tokenHash, deviceID: device, tenant: invited.tenant.number,
            tenantSlug: invited.slug, name: request.name, epoch: Int(invited.epoch),
            isRevoked: false, isSeen: false)
        return Enrollment(device: registered, token: secrets.token, secret: secrets.secret)
    }

    private func take(_ invited: Invited, over connection: PostgresConnection) throws -> DeviceID {
        if invited.isUsed {
            // The first answer was lost: the same request gets another one.
            guard let device = invited.device, let wanted = request.requestID,
                invited.requestID == wanted.words, mayReplace(device)
            else { throw StoreError.codeInvalid }
            try renew(device, invited, over: connection)
            return device
        }
        guard invited.isAlive else { throw StoreError.codeInvalid }
        let device = invited.rotates ?? .random()
        if invited.rotates != nil {
            try rotate(device, invited, over: connection)
        } else {
            try insert(device, invited, over: connection)
        }
        try connection.query(
            DeviceStatements.useInvitation,
            [
                .bytes(codeHash.bytes), .uuid(device.words), .uuid(request.requestID?.words),
                .int4(invited.epoch),
            ])
        return device
    }

    private func insert(
        _ device: DeviceID, _ invited: Invited, over connection: PostgresConnection
    ) throws {
        try connection.query(
            DeviceStatements.insertDevice,
            [
                .uuid(device.words), .int4(invited.tenant.number), .text(request.name),
                .bytes(secrets.tokenHash.bytes),
            ])
        try insertKey(of: device, invited, over: connection)
        try connection.query(
            DeviceStatements.insertProgress, [.uuid(device.words), .int4(invited.tenant.number)])
    }

    private func rotate(
        _ device: DeviceID, _ invited: Invited, over connection: PostgresConnection
    ) throws {
        let rotated = try connection.query(
            DeviceStatements.rotateDevice,
            [
                .uuid(device.words), .bytes(secrets.tokenHash.bytes), .text(request.name),
                .int4(invited.epoch),
            ])
        guard rotated.count == 1 else { throw StoreError.codeInvalid }
        let end = Timestamp.now.advanced(by: epochGrace)
        try connection.query(
            DeviceStatements.closeEpochs, [.uuid(device.words), .timestamp(end.microseconds)])
        try insertKey(of: device, invited, over: connection)
    }

    private func renew(
        _ device: DeviceID, _ invited: Invited, over connection: PostgresConnection
    ) throws {
        let renewed = try connection.query(
            DeviceStatements.renewDevice,
            [
                .uuid(device.words), .bytes(secrets.tokenHash.bytes), .text(request.name),
                .int4(invited.epoch),
            ])
        guard renewed.count == 1 else { throw StoreError.codeInvalid }
        let sealed = try secrets.sealed(for: device, epoch: Int(invited.epoch), under: rootKey)
        try connection.query(
            DeviceStatements.renewDeviceKey,
            [
                .uuid(device.words), .int4(invited.epoch), .bytes(sealed), .text(rootKey.keyID),
            ])
    }

    private func insertKey(
        of device: DeviceID, _ invited: Invited, over connection: PostgresConnection
    ) throws {
        let sealed = try secrets.sealed(for: device, epoch: Int(invited.epoch), under: rootKey)
        try connection.query(
            DeviceStatements.insertDeviceKey,
            [
                .uuid(device.words), .int4(invited.epoch), .int4(invited.tenant.number),
                .bytes(sealed), .text(rootKey.keyID),
            ])
    }
}

/// What a device is told once: 32 random bytes each.
struct DeviceSecrets: Sendable {
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
