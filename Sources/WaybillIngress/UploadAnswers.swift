internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import WaybillHTTP
internal import WaybillModel
internal import WaybillUpload

/// The answers to requests for uploads, in the words of whoever asks.
struct UploadAnswers: Sendable {
    let dialect: UploadDialect
    /// The server's URL.
    let base: String
    let limits: Limits
    /// How long an upload lives without progress.
    let age: Duration

    private var byteCountMax: Int { min(limits.partBytesMax, limits.bundleBytesMax) }

    private func location(_ id: UploadID) -> String { "\(base)/v1/uploads/\(id)" }

    // MARK: Ahead of the answer

    /// That an upload is there, for a client that can go on with it.
    func support(_ standing: UploadStanding) -> HTTPResponse {
        var fields: HTTPFields = [.location: location(standing.id)]
        if case .ietf(let version) = dialect {
            fields[.uploadDraftInteropVersion] = String(version.rawValue)
            fields[.uploadLimit] = version.limit(byteCountMax: byteCountMax, age: left(standing))
        }
        return HTTPResponse(status: Self.supported, headerFields: fields)
    }

    /// How far it has come; nil for those who do not ask.
    func progress(_ offset: Int) -> HTTPResponse? {
        guard case .ietf(let version) = dialect, version.tellsProgress else { return nil }
        return HTTPResponse(
            status: Self.supported,
            headerFields: [
                .uploadDraftInteropVersion: String(version.rawValue), .uploadOffset: String(offset),
            ])
    }

    private static let supported = HTTPResponse.Status(
        code: 104, reasonPhrase: "Upload Resumption Supported")

    // MARK: Answers

    /// It is begun, and more is to come.
    func created(_ standing: UploadStanding) -> Response {
        var response = response(.created, standing)
        response.headers[.location] = location(standing.id)
        return response
    }

    /// As ``created(_:)`` or ``appended(_:)``; where there may be a body it is the bundle's status.
    func unfinished(
        _ standing: UploadStanding, in intake: BundleIntake, isCreation: Bool
    ) -> Response {
        var response = isCreation ? created(standing) : appended(standing)
        guard dialect != .tus, response.status == .created, let key = standing.plan.bundleKey,
            let bundle = intake.find(key)
        else { return response }
        tell(bundle, key.bundleID, in: &response)
        return response
    }

    private func tell(_ bundle: BundleStanding, _ id: BundleID, in response: inout Response) {
        let answer = JSONAnswer.response(text: JSONAnswer.text(bundle, of: id, base: base))
        response.body = answer.body
        response.headers[.contentType] = answer.headers[.contentType]
    }

    /// These bytes are here, and more are to come.
    func appended(_ standing: UploadStanding) -> Response {
        switch dialect {
        case .tus: response(.noContent, standing)
        case .ietf(let version): response(version.appended, standing)
        }
    }

    /// All bytes are here: as the request that began it would have been answered.
    func finished(
        _ outcome: BundleIntake.UploadOutcome, _ intake: BundleIntake, isCreation: Bool
    ) async throws -> Response {
        let standing = outcome.standing
        guard dialect != .tus, case .part(let part, _) = outcome,
            let target = standing.plan.target
        else { return isCreation ? created(standing) : appended(standing) }
        let isBundle = target.partCount == 1
        var response = response(Self.status(part, isBundle: isBundle), standing)
        tell(part.standing, target.bundleID, in: &response)
        response.headers[.location] =
            isBundle ? "\(base)/v1/bundles/\(target.bundleID)" : location(standing.id)
        let digests = try await intake.digests(of: standing)
        if !digests.isEmpty {
            response.headers[.reprDigest] =
                digests.map { DigestField.text($0.algorithm, $0.bytes) }.joined(separator: ", ")
        }
        return response
    }

    private static func status(
        _ outcome: BundleIntake.Outcome, isBundle: Bool
    ) -> HTTPResponse.Status {
        if isBundle { return .accepted }
        return if case .received = outcome { .created } else { .ok }
    }

    /// How far an upload has come.
    func status(_ standing: UploadStanding) -> Response {
        var response = response(dialect == .tus ? .ok : .noContent, standing)
        response.headers[.cacheControl] = "no-store"
        if let byteCount = standing.mark.byteCount {
            response.headers[.uploadLength] = String(byteCount)
        } else if dialect == .tus {
            response.headers[.uploadDeferLength] = "1"
        }
        if dialect == .tus {
            response.headers[.uploadMetadata] = standing.plan.metadata
            response.headers[.uploadConcat] = standing.plan.concatenation
        }
        return response
    }

    /// How far a part has come that has no upload.
    func status(offset: Int, byteCount: Int?, isComplete: Bool) -> Response {
        var response = response(dialect == .tus ? .ok : .noContent)
        response.headers[.cacheControl] = "no-store"
        response.headers[.uploadOffset] = String(offset)
        response.headers[.uploadLength] = byteCount.map { String($0) }
        if case .ietf(let version) = dialect {
            version.tell(isComplete: isComplete, in: &response.headers)
            response.headers[.uploadLimit] = version.limit(
                byteCountMax: byteCountMax, age: Int(age.components.seconds))
        }
        return response
    }

    /// What is spoken here, and the limits.
    func capabilities(_ methods: String) -> Response {
        let limit = InteropVersion.eight.limit(
            byteCountMax: byteCountMax, age: Int(age.components.seconds))
        return Response(
            status: .noContent,
            headers: [
                .allow: methods,
                .acceptPatch: "\(UploadDialect.ietfType), \(UploadDialect.tusType)",
                .uploadLimit: limit ?? "", .tusResumable: UploadDialect.tusVersion,
                .tusVersion: UploadDialect.tusVersion, .tusExtension: TusFields.extensions,
                .tusMaxSize: String(byteCountMax), .tusChecksumAlgorithm: TusFields.offered,
            ])
    }

    /// An answer with the fields that each has in this dialect.
    func response(_ status: HTTPResponse.Status, _ standing: UploadStanding? = nil) -> Response {
        Response(status: status, headers: fields(standing))
    }

    private func fields(_ standing: UploadStanding? = nil) -> HTTPFields {
        var fields: HTTPFields = [:]
        switch dialect {
        case .tus:
            fields[.tusResumable] = UploadDialect.tusVersion
            if let standing, !standing.isComplete {
                fields[.uploadExpires] = HTTPDate.text(
                    of: Date(timeIntervalSinceNow: Double(left(standing))))
            }
        case .ietf(let version):
            if let standing {
                version.tell(isComplete: standing.isComplete, in: &fields)
                fields[.uploadLimit] = version.limit(
                    byteCountMax: byteCountMax, age: left(standing))
            }
        }
        if let standing { fields[.uploadOffset] = String(standing.mark.offset) }
        return fields
    }

    /// Seconds until an upload is given up.
    private func left(_ standing: UploadStanding) -> Int {
        let gone = Timestamp.now.seconds(since: standing.mark.time)
        return max(0, Int(Double(age.components.seconds) - gone))
    }

    // MARK: Refusals

    /// Runs a handler; what it throws gets the fields that this dialect has for it.
    func refusing(_ body: () async throws -> Response) async throws -> Response {
        do {
            return try await body()
        } catch let error as UploadError {
            throw refusal(error)
        } catch let problem as Problem {
            throw ProblemWithFields(problem, fields())
        }
    }

    /// - Parameter isComplete: all bytes of the upload are here, and it is what they are that is refused.
    func refusal(_ error: UploadError, isComplete: Bool = false) -> ProblemWithFields {
        var problem = Problem(error)
        var fields = fields()
        if isComplete, case .ietf(let version) = dialect {
            version.tell(isComplete: true, in: &fields)
        }
        switch error {
        case .offsetMismatch(let offset, _), .lengthMismatch(let offset):
            fields[.uploadOffset] = String(offset)
            if case .ietf(let version) = dialect {
                version.tell(isComplete: false, in: &fields)
            }
        case .uploadComplete(let offset):
            fields[.uploadOffset] = String(offset)
            if case .ietf(let version) = dialect { version.tell(isComplete: true, in: &fields) }
        case .tooLarge, .pastDeclared, .bundleTooLarge:
            if case .ietf(let version) = dialect {
                fields[.uploadLimit] = version.limit(
                    byteCountMax: byteCountMax, age: Int(age.components.seconds))
            }
        case .digestMismatch where dialect == .tus && !isComplete:
            // Of this append alone, and the upload goes on.
            problem.status = 460
        default: break
        }
        return ProblemWithFields(problem, fields)
    }
}
