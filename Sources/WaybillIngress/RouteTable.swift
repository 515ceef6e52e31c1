internal import HTTPTypes
internal import Hummingbird
internal import WaybillModel

/// One request on its way through a handler.
struct DeviceCall: Sendable {
    let request: Request
    let context: IngressContext
    /// What stands in the place of `{id}`; empty on a route without one.
    let parameter: String

    /// The first value of a query parameter, as sent.
    func query(_ name: String) -> Substring? {
        for pair in (request.uri.query ?? "").split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.first?.elementsEqual(name) == true { return parts.dropFirst().first ?? "" }
        }
        return nil
    }
}

/// The calls of the contract: which paths there are, and what each method does on them.
struct RouteTable: Sendable {
    typealias Handler = @Sendable (DeviceCall) async throws -> Response

    fileprivate struct Route: Sendable {
        /// For metrics: a closed set.
        let template: String
        let segments: [Substring]
        let handlers: [HTTPRequest.Method: Handler]
    }

    private var routes: [Route] = []

    /// What a request is for.
    enum Match {
        case handler(Handler, template: String, parameter: String)
        case wrongMethod(allowed: String, template: String)
        case none
    }

    /// Adds a path; `{id}` stands for one segment.
    mutating func add(_ template: String, _ handlers: [HTTPRequest.Method: Handler]) {
        routes.append(
            Route(
                template: template,
                segments: template.split(separator: "/", omittingEmptySubsequences: false),
                handlers: handlers))
    }

    func match(_ method: HTTPRequest.Method, path: String) -> Match {
        let segments = path.split(separator: "/", omittingEmptySubsequences: false)
        for route in routes {
            guard let parameter = Self.parameter(segments, of: route.segments) else { continue }
            let wanted = method == .head && route.handlers[.head] == nil ? .get : method
            guard let handler = route.handlers[wanted] else {
                return .wrongMethod(allowed: route.allowed, template: route.template)
            }
            return .handler(handler, template: route.template, parameter: parameter)
        }
        return .none
    }

    private static func parameter(_ path: [Substring], of template: [Substring]) -> String? {
        guard path.count == template.count else { return nil }
        var parameter = ""
        for (given, wanted) in zip(path, template) {
            if wanted == "{id}" {
                parameter = String(given)
            } else if given != wanted {
                return nil
            }
        }
        return parameter
    }
}

extension RouteTable.Route {
    /// The value of `Allow`.
    fileprivate var allowed: String {
        var names = Set(handlers.keys.map(\.rawValue))
        if names.contains("GET") { names.insert("HEAD") }
        return names.sorted().joined(separator: ", ")
    }
}
