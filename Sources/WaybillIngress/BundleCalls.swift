internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import WaybillModel
internal import WaybillQueue
internal import WaybillStore
internal import WaybillUpload

/// `POST /v1/bundles` of one part, `GET` and `DELETE /v1/bundles/{id}`.
struct BundleCalls: Sendable {
    let intake: BundleIntake
    let store: any ReceiptStore
    let options: IngressOptions
    let metrics: IngressMetrics

    /// Receives a bundle of one part; answers after it is synced to disk.
    func receive(_ call: DeviceCall) async throws -> Response {
        let device = try call.device
        let started = Timestamp.now
        let clock = ContinuousClock.now
        let fields = try UploadFields(call.request.headers)
        try device.check(epoch: fields.epoch)
        let receiver = try intake.begin(
            declaredByteCount: fields.byteCount, expecting: fields.digests)
        try await call.receive(into: receiver, announced: fields.byteCount)
        let outcome = try await intake.complete(
            receiver,
            of: IncomingBundle(
                tenant: device.tenantID, tenantSlug: device.tenantSlug, deviceID: device.deviceID,
                bundleID: fields.bundleID, epoch: fields.epoch, startedAt: started,
                source: call.context.peerAddress))
        if case .received = outcome {
            metrics.countReceived(
                byteCount: receiver.byteCount, duration: ContinuousClock.now - clock)
        }
        let base = options.baseURL(authority: call.request.head.authority)
        return JSONAnswer.response(
            text: JSONAnswer.text(outcome.standing, of: fields.bundleID, base: base),
            status: .accepted,
            headers: [.location: "\(base)/v1/bundles/\(fields.bundleID)"])
    }

    /// Where a bundle stands: from this server while it is here, else from its receipt.
    func status(_ call: DeviceCall) async throws -> Response {
        let key = try key(call)
        guard let standing = try await standing(of: key) else { throw Self.unknown }
        return JSONAnswer.response(
            text: JSONAnswer.text(
                standing, of: key.bundleID,
                base: options.baseURL(authority: call.request.head.authority)))
    }

    /// Gives up an unfinished bundle. One that was received cannot be given up any more.
    func giveUp(_ call: DeviceCall) async throws -> Response {
        let key = try key(call)
        if try await intake.giveUp(key) { return Response(status: .noContent) }
        switch try await standing(of: key)?.state {
        case nil, .expired, .lost: throw Self.unknown
        case .receiving, .queued, .processing, .settled, .quarantined:
            throw Problem(UploadError.alreadyComplete)
        }
    }

    static let unknown = Problem(.notFound, "This device has no such bundle.")

    private func key(_ call: DeviceCall) throws -> BundleKey {
        let device = try call.device
        guard let bundleID = BundleID(call.parameter) else { throw Self.unknown }
        return BundleKey(deviceID: device.deviceID, bundleID: bundleID)
    }

    /// - Throws: `StoreError` when the database has to be asked and does not answer.
    private func standing(of key: BundleKey) async throws -> BundleStanding? {
        let here = intake.find(key)
        switch here?.state {
        case .receiving, .queued, .processing: return here
        case .lost:
            // The queue may not have had the room to write down that it was sent again since.
            let receipts = try? await store.receipts(of: [key])
            return receipts?[key].map { BundleStanding($0) } ?? here
        case .settled, .quarantined, .expired, nil: break
        }
        if let receipt = try await store.receipts(of: [key])[key] { return BundleStanding(receipt) }
        intake.forget(key)
        return await intake.expired(key)
    }
}
