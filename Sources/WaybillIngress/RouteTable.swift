internal import HTTPTypes
internal import Hummingbird
internal import WaybillModel
internal import WaybillStore

/// One request on its way through a handler.
struct DeviceCall: Sendable {
    let request: Request
    let context: IngressContext
    let parameters: PathParameters
    /// Nil on a public route.
    var identified: RegisteredDevice?
    /// Its place among the device's requests in progress; nil on a public route.
    var slot: RequestSlot?

    /// What stands in the place of `{id}`; empty on a route without one.
    var parameter: String { parameters.id }

    /// What stands in the place of `{n}`; empty on a route without one.
    var number: String { parameters.number }

    /// The device that the request comes from, authenticated by the responder.
    ///
    /// - Throws: 401 on a public route, where nobody is authenticated.
    var device: RegisteredDevice {
        get throws(Problem) {
            guard let identified else { throw DeviceAuthenticator.refusal }
            return identified
        }
    }

    /// The first value of a query parameter, decoded.
    ///
    /// - Throws: 400 for a value that is not UTF-8.
    func query(_ name: String) throws(Problem) -> String? {
        for pair in (request.uri.query ?? "").split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let given = parts.first, PercentCoding.decoded(given) == name else { continue }
            guard let value = PercentCoding.decoded(parts.dropFirst().first ?? "") else {
                throw Problem(.invalidRequest, "`\(name)` is not UTF-8.")
            }
            return value
        }
        return nil
    }
}

/// The variable segments of a path, with unreserved characters decoded.
struct PathParameters: Sendable {
    /// `{id}`.
    var id = ""
    /// `{n}`.
    var number = ""
}

/// What the responder does around a handler.
struct RouteMarks: OptionSet, Sendable {
    let rawValue: Int

    /// Nobody is authenticated.
    static let isPublic = RouteMarks(rawValue: 1)
    /// Takes a bundle's bytes: refused while the intake is closed.
    static let receives = RouteMarks(rawValue: 2)
    /// Charged to the device by bytes instead of as one request.
    static let countsBytes = RouteMarks(rawValue: 4)
}

/// The calls of the contract: which paths there are, and what each method does on them.
struct RouteTable: Sendable {
    typealias Handler = @Sendable (DeviceCall) async throws -> Response

    /// One method of one path.
    struct Target: Sendable {
        let handler: Handler
        /// For metrics: a closed set.
        let template: String
        let marks: RouteMarks
        let parameters: PathParameters
    }

    /// What a request is for.
    enum Match {
        case handler(Target)
        case wrongMethod(allowed: String, template: String)
        case none
    }

    fileprivate struct Route: Sendable {
        let template: String
        let segments: [Substring]
        let handlers: [HTTPRequest.Method: Handler]
        let open: Set<HTTPRequest.Method>
        let receiving: Set<HTTPRequest.Method>
    }

    /// Paths without parameters.
    private var fixed: [String: Route] = [:]
    private var variable: [Route] = []

    /// Adds a path; `{id}` and `{n}` stand for one segment each.
    ///
    /// - Parameters:
    ///   - isPublic: handlers are called without a token; what is spoken here is told to anybody.
    ///   - receiving: methods that take a bundle's bytes and are refused while the intake is closed.
    mutating func add(
        _ template: String, _ handlers: [HTTPRequest.Method: Handler], isPublic: Bool = false,
        receiving: Set<HTTPRequest.Method> = []
    ) {
        let route = Route(
            template: template,
            segments: template.split(separator: "/", omittingEmptySubsequences: false),
            handlers: handlers, open: isPublic ? Set(handlers.keys) : [.options],
            receiving: receiving)
        if template.contains("{") { variable.append(route) } else { fixed[template] = route }
    }

    /// Every path with its methods, in order; those that only repeat `/v1` are left out.
    var templates: [(path: String, methods: [String])] {
        (Array(fixed.values) + variable)
            .filter { !$0.template.hasPrefix("/v1/v1/") }
            .map { ($0.template, $0.handlers.keys.map(\.rawValue).sorted()) }
            .sorted { $0.0 < $1.0 }
    }

    /// - Parameter path: as ``PercentCoding/normalized(path:)`` gives it.
    func match(_ method: HTTPRequest.Method, path: String) -> Match {
        if let route = fixed[path] { return route.match(method, PathParameters()) }
        let segments = path.split(separator: "/", omittingEmptySubsequences: false)
        for route in variable {
            guard let parameters = route.parameters(of: segments) else { continue }
            return route.match(method, parameters)
        }
        return .none
    }
}

extension RouteTable.Route {
    fileprivate func match(
        _ method: HTTPRequest.Method, _ parameters: PathParameters
    ) -> RouteTable.Match {
        let wanted = method == .head && handlers[.head] == nil ? .get : method
        guard let handler = handlers[wanted] else {
            return .wrongMethod(allowed: allowed, template: template)
        }
        var marks: RouteMarks = open.contains(wanted) ? .isPublic : []
        if receiving.contains(wanted) { marks.insert(.receives) }
        if wanted == .put || wanted == .patch { marks.insert(.countsBytes) }
        return .handler(
            RouteTable.Target(
                handler: handler, template: template, marks: marks, parameters: parameters))
    }

    fileprivate func parameters(of path: [Substring]) -> PathParameters? {
        guard path.count == segments.count else { return nil }
        var parameters = PathParameters()
        for (given, wanted) in zip(path, segments) {
            switch wanted {
            case "{id}": parameters.id = String(given)
            case "{n}": parameters.number = String(given)
            default: guard given == wanted else { return nil }
            }
        }
        return parameters
    }

    /// The value of `Allow`.
    private var allowed: String {
        var names = Set(handlers.keys.map(\.rawValue))
        if names.contains("GET") { names.insert("HEAD") }
        return names.sorted().joined(separator: ", ")
    }
}
