internal import HTTPTypes
internal import Hummingbird
internal import WaybillModel
internal import WaybillStore

/// `POST /v1/enrollments` and `GET /v1/device`.
struct DeviceCalls: Sendable {
    let registry: DeviceRegistry
    let directory: any DeviceDirectory
    let store: any ReceiptStore
    let options: IngressOptions
    let saveRegistry: @Sendable () async -> Void

    /// Makes a device out of a one-time code; its token works at once, and is on disk, so that it
    /// works after a crash without a database, too.
    func enroll(_ call: DeviceCall) async throws -> Response {
        let request = try await JSONBody.decode(EnrollmentRequest.self, of: call)
        guard (1...200).contains(request.name.unicodeScalars.count),
            !request.name.unicodeScalars.contains("\0")
        else { throw Problem(.invalidRequest, "`name` has 1 to 200 characters.") }
        guard !request.code.isEmpty, request.code.utf8.count <= 200 else {
            throw Problem(StoreError.codeInvalid)
        }
        let enrollment = try await registry.replacing { mayReplace in
            let enrollment = try await directory.enroll(request, mayReplace: mayReplace)
            registry.merge([enrollment.device])
            return enrollment
        }
        await saveRegistry()
        let answer = EnrollmentAnswer(
            baseURL: options.baseURL(authority: call.request.head.authority) + "/v1",
            tenant: enrollment.device.tenantSlug, deviceID: enrollment.device.deviceID,
            token: enrollment.token, secret: Base64URL.encode(enrollment.secret),
            epoch: enrollment.device.epoch, serverTime: .now, limits: options.limits)
        return try JSONAnswer.response(
            answer, status: .created, headers: [.cacheControl: "no-store"])
    }

    /// Tells a device who it is and how far it has got.
    func status(_ call: DeviceCall) async throws -> Response {
        let device = try call.device
        let progress = try await store.progress(device.deviceID)
        return try JSONAnswer.response(
            DeviceStatus(
                tenant: device.tenantSlug, deviceID: device.deviceID, name: device.name,
                epoch: device.epoch, last: progress.last, safeThrough: progress.safeThrough,
                confirmed: progress.confirmed, deviceSequence: progress.deviceSequence,
                gaps: progress.gaps.map { [$0.lowerBound, $0.upperBound] }, serverTime: .now,
                limits: options.limits))
    }
}
