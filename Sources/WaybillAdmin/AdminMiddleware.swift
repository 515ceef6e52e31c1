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
            if problem.status == 404, let allowed = paths.allowed(request.uri.path) {
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

/// The paths without parameters and the methods they have, for answers with `Allow`.
struct AdminPaths: Sendable {
    private var methods: [String: String] = [:]

    mutating func add(_ path: String, _ allowed: String) {
        methods[path] = allowed
    }

    func allowed(_ path: String) -> String? { methods[path] }
}
