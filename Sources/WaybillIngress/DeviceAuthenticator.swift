package import HTTPTypes
internal import Synchronization
package import WaybillModel
package import WaybillStore
internal import WaybillThreads

/// Finds out which device a request comes from, by its bearer token.
package final class DeviceAuthenticator: Sendable {
    private let registry: DeviceRegistry
    private let directory: any DeviceDirectory
    private let strangers: Mutex<[Digest256: Deadline]>
    private let strangerMemory: Duration

    /// Unknown tokens that are remembered at most.
    private static let strangersMax = 10_000

    /// - Parameter strangerMemory: for how long an unknown token is not asked for again.
    package init(
        registry: DeviceRegistry, directory: any DeviceDirectory,
        strangerMemory: Duration = .seconds(1)
    ) {
        self.registry = registry
        self.directory = directory
        self.strangerMemory = strangerMemory
        strangers = Mutex([:])
    }

    /// The device whose valid token this is, as far as this process knows; asks nobody.
    func known(_ fields: HTTPFields) -> RegisteredDevice? {
        guard let token = BearerToken(fields), let device = registry.find(tokenHash: token.hash),
            !device.isRevoked, registry.noteSeen(device)
        else { return nil }
        return device
    }

    /// The device; notes its first request.
    ///
    /// - Throws: 401 with one and the same text for a missing, malformed, unknown or revoked token;
    ///   503 when only the database could say, or while the token is being replaced.
    package func authenticate(_ fields: HTTPFields) async throws(Problem) -> RegisteredDevice {
        guard let token = BearerToken(fields) else { throw Self.refusal }
        let device = try await find(token.hash)
        guard let device, !device.isRevoked else { throw Self.refusal }
        guard registry.noteSeen(device) else {
            throw Problem(
                .databaseUnavailable, "The device is being enrolled again.", retryAfter: 1)
        }
        return device
    }

    static let refusal = Problem(
        .unauthorized, "Send the device's token as `Authorization: Bearer <token>`.")

    private func find(_ hash: Digest256) async throws(Problem) -> RegisteredDevice? {
        if let device = registry.find(tokenHash: hash) { return device }
        guard !isStranger(hash) else { return nil }
        let readAt = registry.changeCount
        let found: RegisteredDevice?
        do {
            found = try await directory.device(tokenHash: hash)
        } catch {
            throw Problem(
                .databaseUnavailable, "The token cannot be checked now.", retryAfter: 5)
        }
        if let found {
            registry.merge([found], readAt: readAt)
            return registry.find(tokenHash: hash)
        }
        remember(hash)
        return nil
    }

    private func isStranger(_ hash: Digest256) -> Bool {
        strangers.withLock { strangers in
            guard let end = strangers[hash] else { return false }
            guard end.hasPassed else { return true }
            strangers[hash] = nil
            return false
        }
    }

    private func remember(_ hash: Digest256) {
        strangers.withLock { strangers in
            if strangers.count >= Self.strangersMax {
                strangers = strangers.filter { !$0.value.hasPassed }
                if strangers.count >= Self.strangersMax { strangers = [:] }
            }
            strangers[hash] = .after(strangerMemory)
        }
    }
}

/// The token of `Authorization: Bearer …`, as its hash.
struct BearerToken {
    let hash: Digest256

    /// Nil unless there is exactly one such field with a token.
    init?(_ fields: HTTPFields) {
        let values = fields[values: .authorization]
        guard values.count == 1, let value = values.first,
            let space = value.utf8.firstIndex(of: Self.space),
            Self.isBearer(value.utf8[..<space])
        else { return nil }
        let token = value.utf8[space...].drop { $0 == Self.space }
        guard !token.isEmpty, !token.contains(Self.space) else { return nil }
        hash = Digest256.of(token)
    }

    private static let space = UInt8(ascii: " ")

    private static func isBearer(_ scheme: Substring.UTF8View) -> Bool {
        // Letters differ from their capitals in this bit; no other byte becomes a letter by it.
        scheme.elementsEqual("bearer".utf8) { given, wanted in given | 0x20 == wanted }
    }
}
