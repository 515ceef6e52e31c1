internal import HTTPTypes
package import Hummingbird
internal import Logging
internal import WaybillModel
internal import WaybillStore
internal import WaybillUpload

/// Answers every request of the device side: finds its route, authenticates the device, and turns
/// errors into problems.
package struct DeviceResponder: HTTPResponder {
    private let routes: RouteTable
    private let authenticator: DeviceAuthenticator
    private let metrics: IngressMetrics
    private let admits: @Sendable (String) -> Bool

    init(
        routes: RouteTable, authenticator: DeviceAuthenticator, metrics: IngressMetrics,
        admits: @escaping @Sendable (String) -> Bool
    ) {
        self.routes = routes
        self.authenticator = authenticator
        self.admits = admits
        self.metrics = metrics
    }

    /// Every path with its methods.
    package var templates: [(path: String, methods: [String])] { routes.templates }

    package func respond(
        to request: Request, context: IngressContext
    ) async throws -> Response {
        let started = ContinuousClock.now
        var template = "unknown"
        var response: Response
        do {
            guard admits(context.peerAddress ?? "") else {
                throw Problem(.forbidden, "Plain HTTP is for trusted proxies; use https.")
            }
            switch routes.match(request.method, path: request.uri.path) {
            case .handler(let target):
                template = target.template
                response = try await answer(request, context, target)
                if request.method == .head { response = response.createHeadResponse() }
            case .wrongMethod(let allowed, let matched):
                template = matched
                response = JSONAnswer.response(
                    Problem(.methodNotAllowed, "Here is to be used: \(allowed)."))
                response.headers[.allow] = allowed
            case .none:
                response = JSONAnswer.response(
                    Problem(.notFound, "There is nothing at this path."))
            }
        } catch let broken as BrokenRequest {
            metrics.countBroken(template)
            throw broken.cause
        } catch {
            response = JSONAnswer.response(problem(for: error, context))
        }
        if response.status.code >= 400 { context.closeIfUnread(request, &response) }
        metrics.count(
            template, status: response.status.code, duration: ContinuousClock.now - started)
        return response
    }

    private func answer(
        _ request: Request, _ context: IngressContext, _ target: RouteTable.Target
    ) async throws -> Response {
        var device: RegisteredDevice?
        if !target.marks.contains(.isPublic) {
            device = try await authenticator.authenticate(request.headers)
        }
        return try await target.handler(
            DeviceCall(
                request: request, context: context, parameters: target.parameters,
                identified: device))
    }

    private func problem(for error: any Error, _ context: IngressContext) -> Problem {
        let problem: Problem
        switch error {
        case let error as Problem: problem = error
        case let error as UploadError: problem = Problem(error)
        case let error as StoreError: problem = Problem(error)
        default: problem = Problem(.internalError, "The server failed.", retryAfter: 10)
        }
        if problem.status >= 500 {
            context.logger.error(
                "a request failed",
                metadata: ["error": "\(error)", "problem.code": "\(problem.code)"])
        }
        return problem
    }
}
