internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import WaybillModel
internal import WaybillStore
internal import WaybillUpload

/// Bundles of many parts: `POST /v1/bundles` as JSON, `GET /v1/bundles`,
/// `PUT /v1/bundles/{id}/parts/{n}`.
struct PartCalls: Sendable {
    let intake: BundleIntake
    let options: IngressOptions
    let metrics: IngressMetrics

    /// A thousand parts, generously spaced.
    private static let declarationBytesMax = 1 << 20

    /// Takes a declaration; answers after it is synced to disk.
    func declare(_ call: DeviceCall) async throws -> Response {
        let device = try call.device
        let request = try await JSONBody.decode(
            DeclarationRequest.self, of: call, bytesMax: Self.declarationBytesMax)
        try Self.check(request, call.request.headers)
        let epoch = try Self.epoch(request, call.request.headers)
        try device.check(epoch: epoch)
        let declared = try await intake.declare(
            BundleDeclaration(
                tenant: device.tenantID, tenantSlug: device.tenantSlug, deviceID: device.deviceID,
                bundleID: request.bundleID, epoch: epoch,
                parts: try request.parts.enumerated().map { try Self.part($1, index: $0) },
                declaredAt: .now, source: call.context.peerAddress))
        let (standing, status): (BundleStanding, HTTPResponse.Status) =
            switch declared {
            case .created(let standing): (standing, .created)
            case .known(let standing): (standing, .ok)
            }
        let base = options.baseURL(authority: call.request.head.authority)
        return JSONAnswer.response(
            text: JSONAnswer.text(standing, of: request.bundleID, base: base), status: status,
            headers: [.location: "\(base)/v1/bundles/\(request.bundleID)"])
    }

    /// Receives one whole part; answers after it is synced, and after the last one is queued.
    func put(_ call: DeviceCall) async throws -> Response {
        let device = try call.device
        let clock = ContinuousClock.now
        guard let bundleID = BundleID(call.parameter) else { throw BundleCalls.unknown }
        let key = BundleKey(deviceID: device.deviceID, bundleID: bundleID)
        let number = try Self.number(call.number)
        let fields = try PartFields(call.request.headers)
        let receiver = try await intake.beginPart(
            number, of: key, announced: fields.byteCount, expecting: fields.digests)
        try await call.receive(into: receiver, announced: fields.byteCount)
        let outcome = try await intake.completePart(receiver, number, of: key)
        if case .received(let standing) = outcome, standing.state != .receiving {
            metrics.countReceived(
                byteCount: standing.parts.reduce(0) { $0 + $1.receivedByteCount },
                duration: ContinuousClock.now - clock)
        }
        let status: HTTPResponse.Status =
            if case .received = outcome { .created } else { .ok }
        let base = options.baseURL(authority: call.request.head.authority)
        return JSONAnswer.response(
            text: JSONAnswer.text(outcome.standing, of: bundleID, base: base), status: status,
            headers: [.location: "\(base)/v1/bundles/\(bundleID)/parts/\(number)"])
    }

    /// This device's unfinished bundles.
    func list(_ call: DeviceCall) async throws -> Response {
        let device = try call.device
        guard try call.query("state") == "receiving" else {
            throw Problem(
                .invalidRequest, "Unfinished bundles are listed: ask with `?state=receiving`.")
        }
        let base = options.baseURL(authority: call.request.head.authority)
        let bundles = intake.unfinished(of: device.deviceID)
            .map { JSONAnswer.text($0.standing, of: $0.id, base: base) }
        return JSONAnswer.response(
            text: #"{"bundles":["# + bundles.joined(separator: ",") + "]}")
    }

    /// A part's number in decimal, from 1, as it stands in the URLs that were handed out.
    static func number(_ text: String) throws(Problem) -> Int {
        guard let number = Int(text), number > 0, String(number) == text else {
            throw Problem(.notFound, "Parts are counted from 1, in decimal.")
        }
        return number
    }

    private static func check(
        _ request: DeclarationRequest, _ fields: HTTPFields
    ) throws(Problem) {
        guard !request.parts.isEmpty else {
            throw Problem(.invalidRequest, "`parts`: a bundle has one part or more.")
        }
        if fields[.idempotencyKey] != nil,
            try UploadFields.bundleID(fields) != request.bundleID
        {
            throw Problem(.invalidRequest, "Idempotency-Key is not the `bundle_id` of the body.")
        }
    }

    /// As the body or the header says; they may both.
    private static func epoch(
        _ request: DeclarationRequest, _ fields: HTTPFields
    ) throws(Problem) -> Int? {
        let told = try UploadFields.epoch(fields)
        guard let epoch = request.epoch else { return told }
        guard (1...Int(Int32.max)).contains(epoch) else {
            throw Problem(.invalidRequest, "`epoch` is not a positive number.")
        }
        guard epoch == told ?? epoch else {
            throw Problem(.invalidRequest, "Waybill-Epoch is not the `epoch` of the body.")
        }
        return epoch
    }

    private static func part(
        _ part: DeclarationRequest.Part, index: Int
    ) throws(Problem) -> DeclaredPart {
        guard part.size > 0 else {
            throw Problem(.invalidRequest, "`parts.\(index).size`: a part has bytes.")
        }
        guard part.sha256 == part.sha256.lowercased(),
            let digest = Digest256(hexadecimal: part.sha256)
        else {
            throw Problem(
                .invalidRequest,
                "`parts.\(index).sha256` does not have 64 hexadecimal digits in lower case.")
        }
        return DeclaredPart(byteCount: part.size, digest: digest)
    }
}

/// What the header of a part's upload says, checked.
struct PartFields {
    let digests: [ExpectedDigest]
    /// `Content-Length`; nil for a chunked body.
    let byteCount: Int?

    /// - Throws: 400, 415 with what is wrong.
    init(_ fields: HTTPFields) throws(Problem) {
        try Self.checkType(fields)
        digests = try DigestField.expectations(in: fields)
        byteCount = fields[.contentLength].flatMap { Int($0) }
    }

    /// - Throws: 415 for what is no part.
    static func checkType(_ fields: HTTPFields) throws(Problem) {
        // Plain tools send a file without a type, or with that of any bytes.
        guard
            ["application/zip", "application/octet-stream"]
                .contains(UploadFields.mediaType(fields) ?? "application/zip")
        else { throw Problem(.unsupportedMediaType, "A part is sent as application/zip.") }
        try UploadFields.refuseCoding(fields)
    }
}

extension DeviceCall {
    /// Streams the body into a part; drops the part when the body does not come as announced.
    func receive(into receiver: PartReceiver, announced: Int?) async throws {
        do {
            receiver.expect(byteCount: announced)
            try await context.forEachPiece(of: request) { piece in
                if try piece.withUnsafeReadableBytes({ try receiver.add($0) }) {
                    try await receiver.write()
                }
            }
            if let announced, announced != receiver.byteCount {
                throw Problem(
                    .invalidRequest,
                    "The body has \(receiver.byteCount) bytes, not \(announced) as announced.")
            }
        } catch {
            await receiver.discard()
            throw error
        }
    }
}
