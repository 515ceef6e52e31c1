internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import WaybillModel
internal import WaybillStore
internal import WaybillUpload

/// Resumable uploads, in the words of the IETF's draft and of tus 1.0.0.
struct UploadCalls: Sendable {
    let intake: BundleIntake
    let options: IngressOptions
    let metrics: IngressMetrics

    // MARK: Beginning

    /// What a request that may begin an upload of the IETF's kind says of it; nil for a plain one.
    static func creation(_ fields: HTTPFields) -> (version: InteropVersion, isLast: Bool)? {
        guard fields[.tusResumable] == nil, let version = InteropVersion(fields),
            let isLast = version.isLast(fields)
        else { return nil }
        return (version, isLast)
    }

    /// `POST /v1/bundles` that asks to be resumable: a bundle of one part.
    func createBundle(
        _ call: DeviceCall, _ version: InteropVersion, isLast: Bool
    ) async throws -> Response {
        let fields = try UploadFields(call.request.headers)
        try call.device.check(epoch: fields.epoch)
        let target = UploadTarget(
            bundleID: fields.bundleID, part: 1, partCount: 1, epoch: fields.epoch)
        return try await create(call, version, isLast: isLast, target)
    }

    /// `PUT /v1/bundles/{id}/parts/{n}` that asks to be resumable: a part of a declared bundle.
    func createPart(
        _ call: DeviceCall, _ version: InteropVersion, isLast: Bool
    ) async throws -> Response {
        try PartFields.checkType(call.request.headers)
        return try await create(call, version, isLast: isLast, try Self.target(call))
    }

    private static func target(_ call: DeviceCall) throws(Problem) -> UploadTarget {
        guard let bundleID = BundleID(call.parameter) else { throw BundleCalls.unknown }
        return UploadTarget(
            bundleID: bundleID, part: try PartCalls.number(call.number), partCount: nil, epoch: nil)
    }

    private func create(
        _ call: DeviceCall, _ version: InteropVersion, isLast: Bool, _ target: UploadTarget
    ) async throws -> Response {
        let fields = call.request.headers
        let answers = answers(call, .ietf(version))
        let announced = fields[.contentLength].flatMap { Int($0) }
        let told = fields[.uploadLength].flatMap(StructuredItem.integer)
        return try await answers.refusing { () async throws in
            if isLast, let announced, told ?? announced != announced {
                throw UploadError.lengthMismatch(offset: 0)
            }
            let begun = try await intake.beginUpload(
                try plan(
                    call, target, expected: DigestField.expectations(in: fields, [.reprDigest]),
                    wanted: DigestField.wanted(in: fields)),
                byteCount: told ?? (isLast ? announced : nil))
            if version != .unnamed { try await call.context.inform(answers.support(begun)) }
            return try await append(
                call, answers, begun.id,
                UploadAppend.Terms(
                    offset: 0, announced: announced, byteCount: told, isLast: isLast,
                    expected: try DigestField.expectations(in: fields, [.contentDigest])),
                isCreation: true)
        }
    }

    /// `POST /v1/uploads`: begins, or concatenates, in the words of tus.
    func createTus(_ call: DeviceCall) async throws -> Response {
        let headers = call.request.headers
        guard headers[.tusResumable] == UploadDialect.tusVersion else {
            throw UploadDialect.wrongVersion
        }
        let answers = answers(call, .tus)
        return try await answers.refusing { () async throws in
            let fields = try TusFields(headers)
            let device = try call.device
            try device.check(epoch: fields.target?.epoch)
            var plan = try plan(call, fields.target)
            plan.endsAtLength = true
            plan.metadata = fields.metadata
            plan.concatenation = fields.concatenation
            if case .concatenation(let pieces) = fields.kind {
                do {
                    let outcome = try await intake.concatenate(pieces, plan)
                    count(outcome, since: .now)
                    return answers.created(outcome.standing)
                } catch let error as UploadError {
                    throw answers.refusal(error, isComplete: true)
                }
            }
            let announced = headers[.contentLength].flatMap { Int($0) }
            let hasBody = announced.map { $0 > 0 } ?? (headers[.transferEncoding] != nil)
            if hasBody { try Self.checkType(headers, UploadDialect.tusType) }
            let begun = try await intake.beginUpload(plan, byteCount: fields.byteCount)
            guard hasBody || fields.byteCount == 0 else { return answers.created(begun) }
            return try await append(
                call, answers, begun.id,
                UploadAppend.Terms(
                    offset: 0, announced: announced,
                    expected: try TusFields.checksum(headers).map { [$0] } ?? []),
                isCreation: true)
        }
    }

    private func plan(
        _ call: DeviceCall, _ target: UploadTarget?, expected: [ExpectedDigest] = [],
        wanted: [DigestAlgorithm] = []
    ) throws(Problem) -> UploadPlan {
        let device = try call.device
        return UploadPlan(
            tenant: device.tenantID, tenantSlug: device.tenantSlug, deviceID: device.deviceID,
            target: target, expected: expected, wanted: wanted, createdAt: .now,
            source: call.context.peerAddress)
    }

    // MARK: Going on

    /// `PATCH` of an upload, by its own URL or by its part's.
    func append(_ call: DeviceCall) async throws -> Response {
        let headers = call.request.headers
        let dialect = try UploadDialect(headers)
        let answers = answers(call, dialect)
        return try await answers.refusing { () async throws in
            guard let offset = headers[.uploadOffset].flatMap(StructuredItem.integer) else {
                throw Problem(.invalidRequest, "Upload-Offset says where the bytes go.")
            }
            var terms = UploadAppend.Terms(
                offset: offset, announced: headers[.contentLength].flatMap { Int($0) },
                byteCount: headers[.uploadLength].flatMap(StructuredItem.integer))
            switch dialect {
            case .tus:
                try Self.checkType(headers, UploadDialect.tusType)
                terms.expected = try TusFields.checksum(headers).map { [$0] } ?? []
            case .ietf(let version):
                if version.isTyped {
                    try Self.checkType(headers, UploadDialect.ietfType)
                } else {
                    try UploadFields.refuseCoding(headers)
                }
                terms.isLast = version.isLast(headers)
                if terms.isLast == nil, version.saysIncomplete { terms.isLast = true }
                guard terms.isLast != nil || version.mayLeaveOutCompleteness else {
                    throw Problem(
                        .invalidRequest, "Upload-Complete says whether these are the last bytes.")
                }
                terms.expected = try DigestField.expectations(in: headers, [.contentDigest])
                terms.expectedOfAll = try DigestField.expectations(in: headers, [.reprDigest])
            }
            let id = try await id(call, beginningAt: offset)
            if dialect == .tus, try isConcatenation(id, call) {
                throw Problem(.forbidden, "Nothing can be added to a concatenation.")
            }
            do {
                return try await append(call, answers, id, terms, isCreation: false)
            } catch let UploadError.uploadComplete(end)
                where dialect == .tus && end == offset && terms.announced ?? 0 == 0
            {
                // Nothing more was to be added: the answer before was lost. Who waits to be asked for
                // nothing, or says so in a chunk, is heard out.
                try await call.context.forEachPiece(of: call.request) { piece in
                    guard piece.readableBytes == 0 else {
                        throw UploadError.uploadComplete(offset: end)
                    }
                }
                return answers.appended(try await intake.upload(id, of: try call.device.deviceID))
            }
        }
    }

    private func isConcatenation(_ id: UploadID, _ call: DeviceCall) throws -> Bool {
        let plan = intake.plan(of: id, of: try call.device.deviceID)
        return plan?.concatenation.map { $0 != "partial" } ?? false
    }

    private static func checkType(_ headers: HTTPFields, _ wanted: String) throws(Problem) {
        guard UploadFields.mediaType(headers) == wanted else {
            throw Problem(.unsupportedMediaType, "Bytes of an upload are sent as \(wanted).")
        }
        try UploadFields.refuseCoding(headers)
    }

    /// The upload that the path names: itself, or by its part.
    ///
    /// - Parameter offset: where somebody wants to begin; at 0 a declared part gets its upload then.
    private func id(_ call: DeviceCall, beginningAt offset: Int? = nil) async throws -> UploadID {
        guard call.number.isEmpty else {
            let target = try Self.target(call)
            let device = try call.device
            let key = BundleKey(deviceID: device.deviceID, bundleID: target.bundleID)
            if let id = intake.upload(of: key, part: target.part) { return id }
            guard offset == 0 else { throw UploadError.uploadUnknown }
            var plan = try plan(call, target)
            plan.endsAtLength = try UploadDialect(call.request.headers) == .tus
            return try await intake.beginUpload(plan, byteCount: nil).id
        }
        guard let id = UploadID(call.parameter) else { throw UploadError.uploadUnknown }
        return id
    }

    /// Streams the body into an upload and answers as what was asked for.
    private func append(
        _ call: DeviceCall, _ answers: UploadAnswers, _ id: UploadID, _ terms: UploadAppend.Terms,
        isCreation: Bool
    ) async throws -> Response {
        let clock = ContinuousClock.now
        let context = call.context
        let append = try await intake.append(
            to: id, of: try call.device.deviceID, terms, cut: { context.cut() })
        do {
            try await context.forEachPiece(of: call.request) { piece in
                guard try piece.withUnsafeReadableBytes({ try append.add($0) }) else { return }
                if let told = try await append.write(), let progress = answers.progress(told) {
                    try await context.inform(progress)
                }
            }
            switch try await append.finish() {
            case .unfinished(let standing):
                return answers.unfinished(standing, in: intake, isCreation: isCreation)
            case .finished(let outcome):
                count(outcome, since: clock)
                return try await answers.finished(outcome, intake, isCreation: isCreation)
            }
        } catch {
            await append.abandon()
            guard append.isProcessing, let error = error as? UploadError else { throw error }
            throw answers.refusal(error, isComplete: true)
        }
    }

    private func count(
        _ outcome: BundleIntake.UploadOutcome, since clock: ContinuousClock.Instant
    ) {
        guard case .part(.received(let standing), _) = outcome, standing.state != .receiving else {
            return
        }
        metrics.countReceived(
            byteCount: standing.parts.reduce(0) { $0 + $1.receivedByteCount },
            duration: ContinuousClock.now - clock)
    }

    // MARK: Looking, ending

    /// `HEAD`: how far an upload has come.
    func status(_ call: DeviceCall) async throws -> Response {
        let answers = answers(call, try UploadDialect(call.request.headers))
        return try await answers.refusing { () async throws in
            if !call.number.isEmpty, let response = try await partStatus(call, answers) {
                return response
            }
            return answers.status(
                try await intake.upload(try await id(call), of: try call.device.deviceID))
        }
    }

    /// A part without an upload: not begun, or sent as a whole.
    private func partStatus(
        _ call: DeviceCall, _ answers: UploadAnswers
    ) async throws -> Response? {
        let target = try Self.target(call)
        let key = BundleKey(deviceID: try call.device.deviceID, bundleID: target.bundleID)
        guard intake.upload(of: key, part: target.part) == nil, let standing = intake.find(key),
            standing.parts.indices.contains(target.part - 1)
        else { return nil }
        let part = standing.parts[target.part - 1]
        return answers.status(
            offset: part.receivedByteCount, byteCount: part.byteCount, isComplete: part.isComplete)
    }

    /// `DELETE`: gives an upload up.
    func terminate(_ call: DeviceCall) async throws -> Response {
        let answers = answers(call, try UploadDialect(call.request.headers))
        return try await answers.refusing { () async throws in
            try await intake.terminate(
                try await id(call), of: try call.device.deviceID,
                forgetting: answers.dialect == .tus)
            return answers.response(.noContent)
        }
    }

    /// `OPTIONS`: what is spoken here, and the limits.
    ///
    /// - Parameter methods: all that there are on the path.
    func capabilities(_ methods: String) -> RouteTable.Handler {
        { call in
            if !call.number.isEmpty {
                guard try Self.target(call).part <= options.limits.bundlePartsMax else {
                    throw BundleCalls.unknown
                }
            } else if !call.parameter.isEmpty, UploadID(call.parameter) == nil {
                throw UploadError.uploadUnknown
            }
            return answers(call, .tus).capabilities(methods)
        }
    }

    private func answers(_ call: DeviceCall, _ dialect: UploadDialect) -> UploadAnswers {
        UploadAnswers(
            dialect: dialect, base: options.baseURL(authority: call.request.head.authority),
            limits: options.limits, age: intake.options.openBundleAge)
    }
}

extension BundleIntake.UploadOutcome {
    var standing: UploadStanding {
        switch self {
        case .piece(let standing), .part(_, let standing): standing
        }
    }
}
