internal import HTTPTypes
internal import Hummingbird
internal import WaybillModel
internal import WaybillStore

extension AdminCalls {
    /// Refuses a device from its next request on; what it waits for ends.
    func revoke(_ request: Request, _ context: Context) async throws -> Response {
        let device = try Self.device(context)
        guard try await parts.tenants.revoke(device) else { throw Self.noSuchDevice }
        await parts.onRevoke(device)
        await record(
            AuditEvent(
                kind: "device.revoke", actor: Self.actor, subject: device.description), context)
        return Response(status: .noContent)
    }

    /// Makes a code whose enrolment returns the same device with the next epoch.
    func rotate(_ request: Request, _ context: Context) async throws -> Response {
        let device = try Self.device(context)
        let invitation = try await parts.tenants.rotate(device)
        await record(
            AuditEvent(
                kind: "device.rotate", actor: Self.actor, subject: device.description), context)
        return try AdminAnswer.json(
            invitation, status: .created, headers: [.cacheControl: "no-store"])
    }

    func backups(_ request: Request, _ context: Context) async throws -> Response {
        try AdminAnswer.json(try await parts.backups.backups())
    }

    /// Says that a backup begins: it will cover what is committed now.
    func beginBackup(_ request: Request, _ context: Context) async throws -> Response {
        let backup = try await parts.backups.beginBackup()
        await record(
            AuditEvent(kind: "backup.begin", actor: Self.actor, subject: "\(backup.id)"), context)
        return try AdminAnswer.json(backup, status: .created)
    }

    /// Says that a backup is complete and safe.
    func completeBackup(_ request: Request, _ context: Context) async throws -> Response {
        guard let id = context.parameters.get("id").flatMap({ Int64($0) }) else {
            throw Problem(.notFound, "There is no such backup.")
        }
        let backup = try await parts.backups.completeBackup(id)
        await record(
            AuditEvent(kind: "backup.complete", actor: Self.actor, subject: "\(backup.id)"),
            context)
        return try AdminAnswer.json(backup)
    }

    private static let noSuchDevice = Problem(.notFound, "There is no such device.")

    private static func device(_ context: Context) throws -> DeviceID {
        guard let device = context.parameters.get("id").flatMap({ DeviceID($0) }) else {
            throw noSuchDevice
        }
        return device
    }
}
