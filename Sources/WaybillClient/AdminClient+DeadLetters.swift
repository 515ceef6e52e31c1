internal import NIOHTTP1
package import WaybillModel

/// What can be decided about dead letters.
package enum DeadLetterDecision: String, Sendable {
    case retry, discard
}

extension AdminClient {
    /// One page, oldest first.
    ///
    /// - Parameters:
    ///   - after: the page before's `next`.
    ///   - limit: clamped by the server.
    package func deadLetters(
        _ filter: DeadLetterFilter, state: DeadLetterState, after: DeadLetterID?, limit: Int
    ) async throws(ClientError) -> DeadLetterPage {
        var query = ["state=\(state.rawValue)", "limit=\(limit)"]
        if let tenant = filter.tenant { query.append("tenant=\(tenant)") }
        if let device = filter.device { query.append("device=\(device)") }
        if let code = filter.code { query.append("code=\(code.rawValue)") }
        if let before = filter.before {
            query.append("before=\(PercentEncoding.encode(before.description))")
        }
        if let after { query.append("after=\(after)") }
        return try await transport.value(
            .get("/admin/v1/dead-letters?" + query.joined(separator: "&")))
    }

    package func deadLetter(_ id: DeadLetterID) async throws(ClientError) -> DeadLetterSummary {
        try await transport.value(.get("/admin/v1/dead-letters/\(id)"))
    }

    /// Queues the bundle once more; the answer is the letter as it is then.
    @discardableResult
    package func retryDeadLetter(
        _ id: DeadLetterID
    ) async throws(ClientError) -> DeadLetterSummary {
        try await transport.value(.post("/admin/v1/dead-letters/\(id)/retry"))
    }

    package func discardDeadLetter(_ id: DeadLetterID) async throws(ClientError) {
        _ = try await transport.send(
            Call(method: .DELETE, target: "/admin/v1/dead-letters/\(id)"))
    }

    /// Asks for a job over all open letters that fit.
    package func decideDeadLetters(
        _ decision: DeadLetterDecision, _ filter: DeadLetterFilter
    ) async throws(ClientError) -> JobStatus {
        try await transport.value(
            .post("/admin/v1/dead-letters/\(decision.rawValue)"), json: filter)
    }

    package func job(_ id: JobID) async throws(ClientError) -> JobStatus {
        try await transport.value(.get("/admin/v1/jobs/\(id)"))
    }

    /// Ends a job before its next page.
    package func cancelJob(_ id: JobID) async throws(ClientError) -> JobStatus {
        try await transport.value(Call(method: .DELETE, target: "/admin/v1/jobs/\(id)"))
    }
}
