package import WaybillClient
package import WaybillModel

/// The simulated devices of a run: enrolled at a server, or taken from a file of an earlier run.
package enum Fleet {
    /// Calls to the server at the same time.
    static let callsAtOnce = 32
    /// Codes that are asked for in one call.
    static let invitationsMax = 100

    /// As many devices as wanted, of one tenant, which is made if it is not there.
    ///
    /// Devices in `file` are used again if they belong to the same server and tenant and the server
    /// still knows each one's token; what is missing is enrolled. The file is written with mode 0600:
    /// whoever reads it can act as these devices.
    ///
    /// - Parameters:
    ///   - admin: may make tenants and invitations.
    ///   - deviceURL: the address of the server's device side, without `/v1`.
    ///   - name: what the devices' names begin with.
    ///   - file: nil: none is read or written.
    ///   - onProgress: called from any task with the number of devices that are ready.
    /// - Throws: ``ClientError`` for a call that failed for good or too often, ``FleetFault``, and what
    ///   the system says of the file.
    package static func enroll(
        count: Int, tenant: TenantSlug, admin: AdminClient, deviceURL: String,
        session: ClientSession, name: String, file: String? = nil,
        retrying: FleetRetrying = FleetRetrying(),
        onProgress: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> [LoadDevice] {
        let run = FleetRun(
            tenant: tenant, admin: admin, deviceURL: deviceURL, session: session, name: name,
            retrying: retrying, progress: FleetProgress(report: onProgress))
        let saved = try file.map { try FleetFile.read($0) } ?? nil
        var devices: [LoadDevice] = []
        if let saved, saved.deviceURL == deviceURL, saved.tenant == tenant {
            devices = try await run.known(Array(saved.devices.prefix(count)))
        }
        guard devices.count < count else { return devices }
        devices += try await run.enroll(count - devices.count)
        if let file {
            try FleetFile(deviceURL: deviceURL, tenant: tenant, devices: devices).write(to: file)
        }
        return devices
    }
}

/// Why there is no fleet, beside failed calls.
package enum FleetFault: Error, CustomStringConvertible {
    /// The file of devices is not one, or of another version.
    case unreadableFile(String)

    /// Another try ends the same way.
    package var isRetryable: Bool { false }

    package var isFatal: Bool { false }

    package var shortDescription: String { "unreadable_file" }

    package var description: String {
        switch self {
        case .unreadableFile(let path): "\(path) is no file of devices"
        }
    }
}

/// The calls that make a fleet.
private struct FleetRun: Sendable {
    let tenant: TenantSlug
    let admin: AdminClient
    let deviceURL: String
    let session: ClientSession
    let name: String
    let retrying: FleetRetrying
    let progress: FleetProgress

    /// Those that the server still knows as they are, in their order.
    func known(_ devices: [LoadDevice]) async throws -> [LoadDevice] {
        try await mapConcurrently(devices, atOnce: Fleet.callsAtOnce) { device in
            let client = DeviceClient(
                baseURL: device.baseURL, token: device.token, session: session)
            do {
                let status = try await retrying.run { () async throws(ClientError) in
                    try await client.device()
                }
                guard status.deviceID == device.deviceID, status.epoch == device.epoch,
                    status.tenant == device.tenant
                else { return nil }
                progress.advance()
                var device = device
                device.lastReceipt = status.last
                return device
            } catch let error as ClientError where error.code == "unauthorized" {
                return nil
            }
        }.compactMap { $0 }
    }

    func enroll(_ count: Int) async throws -> [LoadDevice] {
        try await makeTenant()
        var codes: [String] = []
        let admin = admin
        let tenant = tenant
        while codes.count < count {
            let wanted = min(Fleet.invitationsMax, count - codes.count)
            codes += try await retrying.run { () async throws(ClientError) in
                try await admin.invite(tenant: tenant, count: wanted)
            }.map(\.code)
        }
        return try await mapConcurrently(
            Array(codes.prefix(count).enumerated()), atOnce: Fleet.callsAtOnce
        ) { index, code in
            let device = try await enroll(code: code, name: "\(name)-\(index + 1)")
            progress.advance()
            return device
        }
    }

    private func makeTenant() async throws {
        let admin = admin
        let tenant = tenant
        do {
            _ = try await retrying.run { () async throws(ClientError) in
                try await admin.createTenant(tenant)
            }
        } catch let error as ClientError where error.code == "already_exists" {
            // That is what was wanted.
        }
    }

    /// The request id makes a lost answer harmless.
    private func enroll(code: String, name: String) async throws -> LoadDevice {
        let stranger = DeviceClient(baseURL: deviceURL, token: nil, session: session)
        let requestID = RequestID.random()
        let answer = try await retrying.run { () async throws(ClientError) in
            try await stranger.enroll(code: code, name: name, requestID: requestID)
        }
        guard let secret = Base64URL.decode(answer.secret), secret.count == 32 else {
            throw ClientError.malformed("the secret is not 32 bytes in base64url")
        }
        return LoadDevice(
            deviceID: answer.deviceID, tenant: answer.tenant, epoch: answer.epoch,
            token: answer.token, secret: secret, baseURL: answer.baseURL)
    }
}
