internal import HTTPTypes
package import Hummingbird
internal import Logging
internal import WaybillHTTP
internal import WaybillModel
internal import WaybillStore
internal import WaybillUpload

/// Answers every request of the device side: finds its route, authenticates the device, and turns
/// errors into problems.
package struct DeviceResponder: HTTPResponder {
    private let routes: RouteTable
    private let authenticator: DeviceAuthenticator
    private let gate: IntakeGate
    private let quotas: Quotas
    private let slots: RequestSlots
    private let metrics: IngressMetrics
    private let refusals: RefusalLog
    private let options: IngressOptions
    private let crossOrigin: CrossOrigin?
    private let saveRegistry: @Sendable () async -> Void

    init(
        routes: RouteTable, authenticator: DeviceAuthenticator, gate: IntakeGate,
        metrics: IngressMetrics, refusals: RefusalLog, options: IngressOptions,
        saveRegistry: @escaping @Sendable () async -> Void
    ) {
        self.routes = routes
        self.authenticator = authenticator
        self.gate = gate
        self.metrics = metrics
        self.refusals = refusals
        self.options = options
        self.saveRegistry = saveRegistry
        crossOrigin = CrossOrigin(options.origins)
        quotas = Quotas(options)
        slots = RequestSlots(countMax: options.requestsInProgressMax)
    }

    /// Every path with its methods.
    package var templates: [(path: String, methods: [String])] { routes.templates }

    package func respond(
        to request: Request, context: IngressContext
    ) async throws -> Response {
        let started = ContinuousClock.now
        var template = "unknown"
        var response: Response
        var refusal: Problem?
        do {
            guard options.admits(context.peerAddress ?? "") else {
                throw Problem(.forbidden, "Plain HTTP is for trusted proxies; use https.")
            }
            if let preflight = crossOrigin?.preflight(request) {
                template = "preflight"
                response = preflight
            } else {
                (response, refusal) = try await answer(request, context, &template)
            }
        } catch let broken as BrokenRequest {
            metrics.countBroken(template)
            guard let fault = broken.cause as? RequestFault else { throw broken.cause }
            response = JSONAnswer.response(fault.problem)
            response.headers[.connection] = "close"
        } catch {
            let known = error as? ProblemWithFields
            let problem = problem(for: known?.problem ?? error, request, context)
            refusal = problem
            response = JSONAnswer.response(problem)
            response.headers.append(contentsOf: known?.fields ?? [:])
        }
        if response.status.code >= 400 { context.closeIfUnread(request, &response) }
        if request.headers[.tusResumable] != nil, response.headers[.tusResumable] == nil {
            // Every answer has it, and not all come from those who speak tus.
            response.headers[.tusResumable] = UploadDialect.tusVersion
        }
        crossOrigin?.mark(&response, to: request)
        if let refusal { note(refusal, request, context) }
        let duration = ContinuousClock.now - started
        metrics.count(template, status: response.status.code, duration: duration)
        if context.logger.logLevel <= .debug {
            context.tracedLogger(of: request).debug(
                "request answered",
                metadata: [
                    "http.route": "\(template)", "http.status": "\(response.status.code)",
                    "duration.seconds": "\(duration / .seconds(1))",
                ])
        }
        return response
    }

    /// Finds the route and calls it.
    ///
    /// - Parameter template: becomes that of the route.
    /// - Returns: also what is refused by an answer that is no error of a handler's.
    private func answer(
        _ request: Request, _ context: IngressContext, _ template: inout String
    ) async throws -> (Response, Problem?) {
        let method = Self.method(of: request)
        switch routes.match(method, path: try Self.path(of: request)) {
        case .handler(let target):
            template = target.template
            let response = try await answer(request, context, target)
            return (method == .head ? response.createHeadResponse() : response, nil)
        case .wrongMethod(let allowed, let matched):
            template = matched
            return Self.refuseMethod("Here is to be used: \(allowed).", allowed: allowed)
        case .none where request.method == .trace || request.method == .connect:
            return Self.refuseMethod(
                "\(request.method.rawValue) is not done here.",
                allowed: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        case .none: throw Problem(.notFound, "There is nothing at this path.")
        }
    }

    private static func refuseMethod(_ detail: String, allowed: String) -> (Response, Problem?) {
        let problem = Problem(.methodNotAllowed, detail)
        var response = JSONAnswer.response(problem)
        response.headers[.allow] = allowed
        return (response, problem)
    }

    /// Everything that comes before a handler, cheapest first, and nothing of it reads the body.
    private func answer(
        _ request: Request, _ context: IngressContext, _ target: RouteTable.Target
    ) async throws -> Response {
        var call = DeviceCall(
            request: request, context: context, parameters: target.parameters, identified: nil)
        guard !target.marks.contains(.isPublic) else {
            return try await answerAnybody(call, target.handler)
        }
        let device = try await authenticate(call)
        // That it was seen is on disk before it is told anything: an enrolment that is repeated after
        // a crash would replace the secret that its first bundles are sealed with.
        if !device.isSeen { await saveRegistry() }
        call.identified = device
        let countsBytes = target.marks.contains(.countsBytes)
        try quotas.charge(device.deviceID, for: request, countsBytes: countsBytes)
        call.slot = try slots.take(for: device.deviceID)
        if target.marks.contains(.receives) { try gate.check() }
        guard countsBytes else { return try await target.handler(call) }
        defer {
            quotas.charge(device.deviceID, unannounced: context.bytesRead, of: request)
        }
        return try await target.handler(call)
    }

    /// A public call; guessing codes is what strangers may not do too often.
    private func answerAnybody(
        _ call: DeviceCall, _ handler: RouteTable.Handler
    ) async throws -> Response {
        guard call.request.method == .post else { return try await handler(call) }
        let address = address(of: call)
        try quotas.checkFailures(of: address)
        do {
            return try await handler(call)
        } catch {
            if case .codeInvalid = error as? StoreError { quotas.countFailure(of: address) }
            if let problem = error as? Problem, problem.status == 403 {
                quotas.countFailure(of: address)
            }
            throw error
        }
    }

    /// - Throws: 401, and 429 when this address has sent too many tokens that are none.
    private func authenticate(_ call: DeviceCall) async throws(Problem) -> RegisteredDevice {
        if let device = authenticator.known(call.request.headers) { return device }
        let address = address(of: call)
        try quotas.checkFailures(of: address)
        do {
            return try await authenticator.authenticate(call.request.headers)
        } catch {
            if error.status == 401 { quotas.countFailure(of: address) }
            throw error
        }
    }

    /// The method that is meant: some networks let nothing but `GET` and `POST` through.
    private static func method(of request: Request) -> HTTPRequest.Method {
        guard request.method == .post, let text = request.headers[.methodOverride],
            let method = HTTPRequest.Method(text.uppercased()),
            [.patch, .delete, .head, .put].contains(method)
        else { return request.method }
        return method
    }

    /// The path with its unreserved characters decoded.
    ///
    /// - Throws: 400 where a percent sign begins no encoded byte.
    private static func path(of request: Request) throws(Problem) -> String {
        guard let path = PercentCoding.normalized(path: request.uri.path),
            PercentCoding.isWellFormed(request.uri.query ?? "")
        else {
            throw Problem(.invalidRequest, "A percent sign is followed by two hexadecimal digits.")
        }
        return path
    }

    /// One security event for whatever was refused to a stranger or a device, by the problem's code;
    /// broken requests are noted by the connection, and failures of the server are none.
    private func note(_ problem: Problem, _ request: Request, _ context: IngressContext) {
        guard problem.status < 500 else { return }
        refusals.note(
            problem.code,
            from: options.clientAddress(
                peer: context.peerAddress ?? "", forwarded: request.headers[.forwardedFor]))
    }

    private func address(of call: DeviceCall) -> String {
        options.clientAddress(
            peer: call.context.peerAddress ?? "", forwarded: call.request.headers[.forwardedFor])
    }

    private func problem(
        for error: any Error, _ request: Request, _ context: IngressContext
    ) -> Problem {
        let problem: Problem
        switch error {
        case let error as Problem: problem = error
        case let error as UploadError: problem = Problem(error)
        case let error as StoreError: problem = Problem(error)
        default: problem = Problem(.internalError, "The server failed.", retryAfter: 10)
        }
        if problem.status >= 500 {
            context.tracedLogger(of: request).error(
                "a request failed",
                metadata: ["error": "\(error)", "problem.code": "\(problem.code)"])
        }
        return problem
    }
}
