internal import Hummingbird
internal import NIOCore
internal import WaybillModel
internal import WaybillUpload

/// A request that is read out of an object, member by member; other members are ignored.
protocol JSONRequest {
    /// - Throws: 400 with the member at fault, never its value.
    init(_ object: JSONMembers) throws(Problem)
}

/// Bodies of JSON.
enum JSONBody {
    static let bytesMax = 64 << 10

    /// - Throws: 415 for another media type or a coding, 413 for a large body, 422 for a digest that
    ///   does not match, 400 for what is not such a value.
    static func decode<Value: JSONRequest>(
        _ type: Value.Type, of call: DeviceCall, bytesMax: Int = bytesMax
    ) async throws -> Value {
        guard UploadFields.mediaType(call.request.headers) == "application/json" else {
            throw Problem(.unsupportedMediaType, "The body is sent as application/json.")
        }
        try UploadFields.refuseCoding(call.request.headers)
        let digests = try DigestField.expectations(in: call.request.headers)
        let buffer = try await call.context.body(of: call.request, bytesMax: bytesMax)
        let body = Array(buffer.readableBytesView)
        if let wrong = digests.first(where: { !$0.matches(body) }) {
            throw UploadError.digestMismatch(wrong.algorithm)
        }
        return try Value(JSONMembers(body))
    }
}

/// The members of an object in a request's body.
struct JSONMembers {
    private let members: [String: JSONText]
    /// Where the object stands in the body: empty, or with a dot at its end.
    private let path: String

    /// - Throws: 400 for what is no JSON object.
    init(_ body: [UInt8]) throws(Problem) {
        let value: JSONText
        do {
            value = try JSONText(body)
        } catch {
            throw Self.problem(Self.explanation(error))
        }
        guard case .object(let members) = value else {
            throw Self.problem("it is not an object")
        }
        self.members = members
        path = ""
    }

    private init(members: [String: JSONText], path: String) {
        self.members = members
        self.path = path
    }

    func text(_ name: String) throws(Problem) -> String {
        guard case .string(let text) = try value(name) else { throw wrong(name, "is not a text") }
        return text
    }

    /// - Parameter what: what the text is, for the refusal.
    func text<Value>(
        _ name: String, as what: String, _ read: (String) -> Value?
    ) throws(Problem) -> Value {
        guard let value = read(try text(name)) else { throw wrong(name, "is not \(what)") }
        return value
    }

    /// Nil when it is missing or null.
    func optional<Value>(
        _ name: String, _ read: (JSONMembers) throws(Problem) -> Value
    ) throws(Problem) -> Value? {
        switch members[name] {
        case nil, .null: return nil
        default: return try read(self)
        }
    }

    /// A whole number; one that is beyond 64 bits becomes the nearest of them, which no limit allows.
    func integer(_ name: String) throws(Problem) -> Int64 {
        guard case .number(let text) = try value(name), let number = Self.whole(text) else {
            throw wrong(name, "is not a whole number")
        }
        return number
    }

    func objects(_ name: String) throws(Problem) -> [JSONMembers] {
        guard case .array(let elements) = try value(name) else {
            throw wrong(name, "is not a list")
        }
        var objects: [JSONMembers] = []
        objects.reserveCapacity(elements.count)
        for (index, element) in elements.enumerated() {
            guard case .object(let members) = element else {
                throw wrong("\(name).\(index)", "is not an object")
            }
            objects.append(JSONMembers(members: members, path: "\(path)\(name).\(index)."))
        }
        return objects
    }

    private func value(_ name: String) throws(Problem) -> JSONText {
        guard let value = members[name] else { throw wrong(name, "is missing") }
        return value
    }

    private func wrong(_ name: String, _ what: String) -> Problem {
        Self.problem("member `\(path)\(name)` \(what)")
    }

    private static func problem(_ what: String) -> Problem {
        Problem(.invalidRequest, "The body is not valid: \(what).")
    }

    private static func explanation(_ fault: JSONTextFault) -> String {
        switch fault {
        case .malformed(let offset): "it is not JSON (byte \(offset))"
        case .duplicate: "an object has a member twice"
        case .tooDeep: "it is nested too deeply"
        }
    }

    /// Nil for a fraction.
    private static func whole(_ text: String) -> Int64? {
        if let number = Int64(text) { return number }
        // What has neither a point nor an exponent is beyond 64 bits.
        if !text.contains(where: { ".eE".contains($0) }) { return text.first == "-" ? .min : .max }
        guard let number = Double(text), number.isFinite, number.rounded() == number else {
            return nil
        }
        return Int64(exactly: number) ?? (number < 0 ? .min : .max)
    }
}

extension EnrollmentRequest: JSONRequest {
    init(_ object: JSONMembers) throws(Problem) {
        self.init(
            code: try object.text("code"), name: try object.text("name"),
            requestID: try object.optional("request_id") { object throws(Problem) in
                try object.text("request_id", as: "a UUID") { RequestID($0) }
            })
    }
}

extension DeclarationRequest: JSONRequest {
    init(_ object: JSONMembers) throws(Problem) {
        var parts: [Part] = []
        for part in try object.objects("parts") {
            parts.append(
                Part(
                    size: Int(clamping: try part.integer("size")),
                    sha256: try part.text("sha256")))
        }
        self.init(
            bundleID: try object.text("bundle_id", as: "a UUID") { BundleID($0) },
            epoch: try object.optional("epoch") { object throws(Problem) in
                Int(clamping: try object.integer("epoch"))
            }, parts: parts)
    }
}

extension Confirmation: JSONRequest {
    init(_ object: JSONMembers) throws(Problem) {
        self.init(through: try object.integer("through"))
    }
}
