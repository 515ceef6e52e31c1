internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct QueuePauseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause", abstract: "Hand out no more bundles; new ones are taken.",
        discussion: "It stays so over a restart, until `queue resume`.")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let status = try await client.pauseQueue()
            try output.show(status) { status.table }
        }
    }
}

struct QueueResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume", abstract: "End a pause and a drain.")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let status = try await client.resumeQueue()
            try output.show(status) { status.table }
        }
    }
}

struct QueueDrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Take nothing new and settle what is here, until `queue resume`.",
        discussion: "A restart ends it. A queue that is paused, or has no listeners, stays full.")

    @Flag(help: "Return when the queue is empty.")
    var wait = false

    @Option(help: "With --wait: give up after so many seconds, with exit code 2.")
    var timeout: Int?

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let timeout, timeout < 0 { throw ValidationError("--timeout is 0 or more seconds") }
    }

    func run() async throws {
        try await server.withClient { client in
            var status = try await client.drainQueue()
            let start = ContinuousClock.now
            var told = Int.max
            while wait, status.depth > 0 {
                guard status.isDraining else {
                    throw CommandFailure(.checkNotMet, "somebody has resumed the queue")
                }
                if let timeout, start.duration(to: .now) >= .seconds(timeout) {
                    throw CommandFailure(
                        .checkNotMet, "\(status.depth) bundles are left after \(timeout) s")
                }
                if status.depth != told {
                    told = status.depth
                    Console.note(
                        "\(told) bundles left\(status.isPaused ? "; the queue is paused" : "")")
                }
                try await Task.sleep(for: .milliseconds(500))
                status = try await client.queue()
            }
            try output.show(status) { status.table }
        }
    }
}
