internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import WaybillModel

/// Turns every error into a problem document.
struct ProblemAnswers: RouterMiddleware {
    typealias Context = BasicRequestContext

    let paths: AdminPaths

    func handle(
        _ request: Request, context: BasicRequestContext,
        next: @concurrent (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch {
            let problem = Problem(operatorError: error)
            // The router's own; what a handler did not find is another matter, its method is right.
            if error is any HTTPResponseError, problem.status == 404,
                let allowed = paths.allowed(request.uri.path)
            {
                var response = try AdminAnswer.problem(
                    Problem(.methodNotAllowed, "Here is to be used: \(allowed)."))
                response.headers[.allow] = allowed
                return response
            }
            if problem.status >= 500 {
                context.logger.error("an operator's call failed", metadata: ["error": "\(error)"])
            }
            return try AdminAnswer.problem(problem)
        }
    }
}

/// Names each request's trace in all of its log lines, and tells what was answered.
struct RequestTraces: RouterMiddleware {
    typealias Context = BasicRequestContext

    /// W3C Trace Context. The name is a valid field name.
    private static let header = HTTPField.Name("traceparent") ?? .referer

    func handle(
        _ request: Request, context: BasicRequestContext,
        next: @concurrent (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        var context = context
        let trace = TraceContext(headers: request.headers[values: Self.header])
        context.logger[metadataKey: "trace.id"] = "\(trace.traceID)"
        context.logger[metadataKey: "span.id"] = "\(trace.spanID)"
        if let parent = trace.parentID {
            context.logger[metadataKey: "span.parent_id"] = "\(parent)"
        }
        let started = ContinuousClock.now
        let response = try await next(request, context)
        context.logger.debug(
            "request answered",
            metadata: [
                "http.route": "\(context.endpointPath ?? "unknown")",
                "http.status": "\(response.status.code)",
                "duration.seconds": "\((ContinuousClock.now - started) / .seconds(1))",
            ])
        return response
    }
}

/// Lets nobody in without the operator's token.
struct OperatorGate: RouterMiddleware {
    typealias Context = BasicRequestContext

    let token: OperatorToken

    func handle(
        _ request: Request, context: BasicRequestContext,
        next: @concurrent (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        guard token.matches(request.headers) else {
            throw Problem(
                .unauthorized, "Send the operator's token as `Authorization: Bearer <token>`.")
        }
        return try await next(request, context)
    }
}
