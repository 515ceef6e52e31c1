internal import HTTPTypes
internal import WaybillModel

/// A version of `draft-ietf-httpbis-resumable-upload` that clients name in
/// `Upload-Draft-Interop-Version`; the drafts are -01, -03, -05, -08 and -11.
enum InteropVersion: Int, Sendable, CaseIterable {
    /// None is named: as the draft says it will be in the end, but nobody is told ahead of the answer.
    case unnamed = 0
    case three = 3
    case five = 5
    case six = 6
    case seven = 7
    case eight = 8

    /// `Upload-Complete` is called `Upload-Incomplete` and says the contrary.
    var saysIncomplete: Bool { self == .three }

    /// How far the upload has come may be told while it goes on.
    var tellsProgress: Bool { self != .unnamed && self != .three }

    /// Limits are told, and bytes are appended as `application/partial-upload`.
    var isTyped: Bool { self != .three && self != .five }

    /// Whether an append's bytes are the last may follow from the upload's length.
    var mayLeaveOutCompleteness: Bool { self == .five || self == .six }

    /// An answer to an append that was not the last.
    var appended: HTTPResponse.Status {
        switch self {
        case .three, .five, .six: .created
        case .seven, .eight, .unnamed: .noContent
        }
    }

    /// Nil for a version that is not known here; its uploads are served as plain ones.
    init?(_ fields: HTTPFields) {
        guard let text = fields[.uploadDraftInteropVersion] else {
            self = .unnamed
            return
        }
        guard let number = StructuredItem.integer(text), number != 0,
            let version = InteropVersion(rawValue: number)
        else { return nil }
        self = version
    }

    /// Whether a request's bytes are the last of an upload; nil where it does not say.
    func isLast(_ fields: HTTPFields) -> Bool? {
        if saysIncomplete, let value = fields[.uploadIncomplete].flatMap(StructuredItem.boolean) {
            return !value
        }
        return fields[.uploadComplete].flatMap(StructuredItem.boolean)
    }

    /// Says whether an upload is complete.
    func tell(isComplete: Bool, in fields: inout HTTPFields) {
        if saysIncomplete {
            fields[.uploadIncomplete] = isComplete ? "?0" : "?1"
        } else {
            fields[.uploadComplete] = isComplete ? "?1" : "?0"
        }
    }

    /// `Upload-Limit`; nil for versions without.
    ///
    /// - Parameter age: seconds until the upload is given up.
    func limit(byteCountMax: Int, age: Int) -> String? {
        guard isTyped else { return nil }
        return "max-size=\(byteCountMax), \(self == .six ? "expires" : "max-age")=\(age)"
    }
}

/// How a request for an upload speaks.
enum UploadDialect: Equatable, Sendable {
    case ietf(InteropVersion)
    case tus

    /// Bytes for tus 1.0.0; the IETF has another type.
    static let tusType = "application/offset+octet-stream"
    static let ietfType = "application/partial-upload"
    static let tusVersion = "1.0.0"

    /// - Throws: 412 for tus of another version, or of none.
    init(_ fields: HTTPFields) throws(ProblemWithFields) {
        if let version = fields[.tusResumable] {
            guard version == Self.tusVersion else { throw Self.wrongVersion }
            self = .tus
        } else if UploadFields.mediaType(fields) == Self.tusType {
            throw Self.wrongVersion
        } else {
            self = .ietf(InteropVersion(fields) ?? .unnamed)
        }
    }

    static var wrongVersion: ProblemWithFields {
        var problem = Problem(
            .preconditionFailed, "Say `Tus-Resumable: \(tusVersion)`; no other version is spoken.")
        problem.title = "Another version of tus"
        return ProblemWithFields(
            problem, [.tusVersion: tusVersion, .tusResumable: tusVersion])
    }
}

/// Items of RFC 9651, as far as upload fields have them; parameters are left out.
enum StructuredItem {
    static func boolean(_ text: String) -> Bool? {
        switch bare(text) {
        case "?1": true
        case "?0": false
        default: nil
        }
    }

    /// A whole number from 0; nil for anything else.
    static func integer(_ text: String) -> Int? {
        let digits = bare(text)
        guard (1...15).contains(digits.utf8.count),
            digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { return nil }
        return Int(digits)
    }

    private static func bare(_ text: String) -> Substring {
        var item = text.prefix { $0 != ";" }
        while item.first == " " { item.removeFirst() }
        while item.last == " " { item.removeLast() }
        return item
    }
}

/// A problem that comes with header fields of its own.
struct ProblemWithFields: Error {
    let problem: Problem
    let fields: HTTPFields

    init(_ problem: Problem, _ fields: HTTPFields) {
        self.problem = problem
        self.fields = fields
    }
}

extension HTTPField.Name {
    static let uploadComplete = known("Upload-Complete")
    static let uploadIncomplete = known("Upload-Incomplete")
    static let uploadOffset = known("Upload-Offset")
    static let uploadLength = known("Upload-Length")
    static let uploadLimit = known("Upload-Limit")
    static let uploadDraftInteropVersion = known("Upload-Draft-Interop-Version")
    static let wantReprDigest = known("Want-Repr-Digest")
    static let acceptPatch = known("Accept-Patch")
    static let tusResumable = known("Tus-Resumable")
    static let tusVersion = known("Tus-Version")
    static let tusExtension = known("Tus-Extension")
    static let tusMaxSize = known("Tus-Max-Size")
    static let tusChecksumAlgorithm = known("Tus-Checksum-Algorithm")
    static let uploadDeferLength = known("Upload-Defer-Length")
    static let uploadMetadata = known("Upload-Metadata")
    static let uploadConcat = known("Upload-Concat")
    static let uploadChecksum = known("Upload-Checksum")
    static let uploadExpires = known("Upload-Expires")
    static let methodOverride = known("X-HTTP-Method-Override")
}
