internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import WaybillModel
internal import WaybillQueue
internal import WaybillStore
internal import WaybillUpload

/// `POST /v1/bundles`, `GET` and `DELETE /v1/bundles/{id}`.
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
        let receiver = try intake.begin(
            declaredByteCount: fields.byteCount, expecting: fields.digests)
        do {
            try await call.context.forEachPiece(of: call.request) { piece in
                try await receiver.append(Array(piece.readableBytesView))
            }
            if let announced = fields.byteCount, announced != receiver.byteCount {
                throw Problem(
                    .invalidRequest,
                    "The body has \(receiver.byteCount) bytes, not \(announced) as announced.")
            }
        } catch {
            await receiver.discard()
            throw error
        }
        let outcome = try await intake.complete(
            receiver,
            of: IncomingBundle(
                tenant: device.tenantID, tenantSlug: device.tenantSlug, deviceID: device.deviceID,
                bundleID: fields.bundleID, epoch: fields.epoch, startedAt: started,
                source: call.context.peerAddress))
        let standing: BundleStanding
        switch outcome {
        case .received(let received):
            standing = received
            metrics.countReceived(
                byteCount: receiver.byteCount, duration: ContinuousClock.now - clock)
        case .known(let known):
            standing = known
        }
        let base = options.baseURL(authority: call.request.head.authority)
        return JSONAnswer.response(
            text: JSONAnswer.text(standing, of: fields.bundleID), status: .accepted,
            headers: [.location: "\(base)/v1/bundles/\(fields.bundleID)"])
    }

    /// Where a bundle stands: from the queue while it is there, else from its receipt.
    func status(_ call: DeviceCall) async throws -> Response {
        let device = try call.device
        guard let bundleID = BundleID(call.parameter) else { throw Self.unknown }
        let key = BundleKey(deviceID: device.deviceID, bundleID: bundleID)
        let queued = intake.find(key)
        if let queued, queued.state != .settled, queued.state != .quarantined {
            return JSONAnswer.response(text: JSONAnswer.text(queued, of: bundleID))
        }
        let receipt = try await store.receipts(of: [key])[key]
        guard let standing = receipt.map({ BundleStanding($0) }) ?? queued else {
            throw Self.unknown
        }
        return JSONAnswer.response(text: JSONAnswer.text(standing, of: bundleID))
    }

    /// Gives up an unfinished bundle. One that was received cannot be given up any more.
    func giveUp(_ call: DeviceCall) async throws -> Response {
        _ = try await status(call)
        throw Problem(
            .alreadyComplete, "The bundle is complete; its receipt says what became of it.")
    }

    private static let unknown = Problem(.notFound, "This device has no such bundle.")
}
