internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

/// Letters by their ids, or all that fit a filter.
struct DeadLetterChoice: ParsableArguments {
    @Argument(help: "The dead letters' ids.")
    var ids: [DeadLetterID] = []

    @Flag(help: "All open ones that fit the filter, as a job of the server.")
    var all = false

    @OptionGroup var options: DeadLetterOptions

    /// - Throws: a usage error unless exactly one of ids and `--all` is there, and a filter only
    ///   with `--all`.
    func check() throws {
        guard all == ids.isEmpty else {
            throw ValidationError("give either ids or --all")
        }
        guard all || options.filter == DeadLetterFilter() else {
            throw ValidationError("a filter goes with --all")
        }
    }
}

/// Does one thing to the chosen letters and tells how that went.
struct DeadLetterRun {
    private let decision: DeadLetterDecision
    private let choice: DeadLetterChoice
    private let output: OutputOptions

    init(_ decision: DeadLetterDecision, _ choice: DeadLetterChoice, _ output: OutputOptions) {
        self.decision = decision
        self.choice = choice
        self.output = output
    }

    /// - Throws: ``CommandFailure`` with 1 when some letters failed.
    func run(_ client: AdminClient) async throws {
        if choice.all {
            try await runJob(client)
        } else {
            try await runEach(client)
        }
    }

    /// One after the other; a letter that fails does not hold back the next.
    private func runEach(_ client: AdminClient) async throws {
        var results: [DeadLetterResult] = []
        for id in choice.ids {
            do {
                switch decision {
                case .retry: try await client.retryDeadLetter(id)
                case .discard: try await client.discardDeadLetter(id)
                }
                results.append(DeadLetterResult(id: id, done: true))
            } catch {
                // Without a server, or without the right to ask it, there is no next one.
                guard case .problem(_, let status) = error, status != 401, status != 403 else {
                    throw error
                }
                Console.note("\(id): \(error)")
                results.append(DeadLetterResult(id: id, done: false, error: error.code))
            }
        }
        let failed = results.count { !$0.done }
        try output.show(results) {
            let done = results.filter(\.done).map { "\(verb) \($0.id)" }
            return (done + ["\(results.count - failed) \(verb), \(failed) failed"])
                .joined(separator: "\n")
        }
        if failed > 0 { throw CommandFailure(.failed, "\(failed) of \(results.count) failed") }
    }

    /// Watches the job to its end; Ctrl-C cancels it.
    private func runJob(_ client: AdminClient) async throws {
        let begun = try await client.decideDeadLetters(decision, choice.options.filter)
        Console.note("job \(begun.id): \(begun.total) dead letters; Ctrl-C cancels it")
        let ended = try await Interruption.run { try await Self.watch(begun, client) }
        guard let job = ended else {
            let job = try await client.cancelJob(begun.id)
            throw CommandFailure(
                .failed, "cancelled after \(job.done + job.failed) of \(job.total)")
        }
        try output.show(job) { "\(job.done) \(verb), \(job.failed) failed (\(job.state.rawValue))" }
        for failure in job.failures { Console.note("\(failure.id): \(failure.detail)") }
        if job.failed > 0 { throw CommandFailure(.failed, "\(job.failed) failed") }
        guard job.state == .done else {
            throw CommandFailure(
                .failed, "the job is \(job.state.rawValue). " + (job.detail ?? ""))
        }
    }

    /// Asks for the job's progress again and again; the server does not tell it by itself.
    private static func watch(
        _ begun: JobStatus, _ client: AdminClient
    ) async throws -> JobStatus {
        var job = begun
        var told = 0
        while !job.hasEnded {
            try await Task.sleep(for: .milliseconds(200))
            job = try await client.job(job.id)
            if job.done + job.failed != told {
                told = job.done + job.failed
                Console.note("\(told) of \(job.total)")
            }
        }
        return job
    }

    private var verb: String {
        switch decision {
        case .retry: "queued"
        case .discard: "discarded"
        }
    }
}

private struct DeadLetterResult: Encodable {
    var id: DeadLetterID
    var done: Bool
    /// The problem's code.
    var error: String?
}
