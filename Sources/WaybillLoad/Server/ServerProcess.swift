internal import Foundation
internal import Subprocess
internal import Synchronization
package import WaybillModel

#if canImport(System)
    internal import System
#else
    internal import SystemPackage
#endif

/// `waybill serve` as a child process, which may be killed and started again at the same addresses.
package final class ServerProcess: Sendable {
    /// How it is started.
    package struct Options: Sendable {
        /// This program, unless said otherwise.
        package var executable: String?
        package var dataDirectory: String
        /// Its standard error; the data directory's `serve.log` unless said otherwise.
        package var logFile: String?
        package var deviceHost = "127.0.0.1"
        /// Ports are chosen once, so that devices find it again; otherwise the system chooses them
        /// at each start.
        package var keepsPorts = true
        /// Further arguments of `waybill serve`.
        package var arguments: [String] = []
        package var startPatience = Duration.seconds(120)
        /// From SIGTERM to SIGKILL.
        package var stopPatience = Duration.seconds(90)
        /// Called with the process's number after each start, before anybody else knows that it is
        /// ready.
        package var whenReady: @Sendable (Int32) throws -> Void = { _ in }

        package init(dataDirectory: String) {
            self.dataDirectory = dataDirectory
        }
    }

    private struct Incarnation {
        let send: @Sendable (Signal) throws -> Void
        let tearDown: @Sendable () async -> Void
        let processID: Int32
        /// Where its words begin in the log.
        let logStart: UInt64
        var address: ServerAddress?
        var isEndAsked = false
    }

    private struct State {
        var incarnation: Incarnation?
        var starts = 0
        /// Why it was killed by this object itself.
        var complaint: ServerFailure?
        var readyWaiters: [CheckedContinuation<Void, any Error>] = []
        var endWaiters: [AsyncThrowingStream<TerminationStatus, any Error>.Continuation] = []
        var usage = UsageMeter()
    }

    package let options: Options
    /// Its standard error.
    package let logFile: String
    private let ports: (device: Int, admin: Int)
    private let state = Mutex(State())
    private let startRequests: AsyncStream<Void>
    private let startRequest: AsyncStream<Void>.Continuation

    /// Starts nothing yet.
    ///
    /// - Throws: ``ServerFailure/impossible(_:)`` where no port is free.
    package init(_ options: Options) throws(ServerFailure) {
        self.options = options
        logFile = options.logFile ?? options.dataDirectory + "/serve.log"
        ports =
            options.keepsPorts
            ? (try FixedPort.choose(host: options.deviceHost), try FixedPort.choose()) : (0, 0)
        (startRequests, startRequest) = AsyncStream.makeStream(of: Void.self)
    }

    // MARK: Life

    /// Starts the server, runs `work` as soon as it is ready, and stops it in order. It has ended on
    /// return, whatever way `work` ended; when the server ends by itself, `work` is cancelled.
    ///
    /// A Ctrl-C at the terminal is for this process alone, which then stops the server in order.
    /// May be called once.
    ///
    /// - Throws: ``ServerFailure``, and what `work` throws.
    package func run<Result: Sendable>(
        _ work: @escaping @Sendable (ServerProcess) async throws -> Result
    ) async throws -> Result {
        try FileManager.default.createDirectory(
            atPath: options.dataDirectory, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        return try await withThrowingTaskGroup(of: Result?.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                try await self.supervise()
                return nil
            }
            group.addTask {
                try await self.start()
                let result = try await work(self)
                try await self.stop()
                return result
            }
            while let ended = try await group.next() {
                if let result = ended { return result }
            }
            throw CancellationError()
        }
    }

    /// Kills it as a power cut would (SIGKILL), its PostgreSQL left alone; gone on return.
    package func kill() async throws {
        _ = try await end { incarnation in try incarnation.send(.kill) }
    }

    /// Stops it in order (SIGTERM); gone on return.
    ///
    /// - Throws: ``ServerFailure/stoppedBadly(status:lastWords:)`` when it did not exit with 0, or had
    ///   to be killed.
    package func stop() async throws {
        let start = state.withLock { $0.incarnation?.logStart } ?? 0
        let status = try await end { incarnation in await incarnation.tearDown() }
        guard status.isSuccess else {
            throw ServerFailure.stoppedBadly(
                status: "\(status)", lastWords: Self.lastWords(logFile, from: start))
        }
    }

    /// Starts it after ``kill()`` or ``stop()``; ready on return.
    package func start() async throws {
        let patience = options.startPatience
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await self.requestStart() }
            group.addTask {
                try await Task.sleep(for: patience)
                self.giveUp(after: patience)
            }
            _ = try await group.next()
        }
    }

    private func requestStart() async throws {
        try await withCheckedThrowingContinuation { waiter in
            state.withLock { $0.readyWaiters.append(waiter) }
            if case .terminated = startRequest.yield() {
                settle(.failure(CancellationError()))
            }
        }
    }

    private func giveUp(after patience: Duration) {
        let words = Self.lastWords(
            logFile, from: state.withLock { $0.incarnation?.logStart } ?? 0)
        let incarnation = state.withLock { state in
            state.complaint = .notReady(
                seconds: Int(patience.components.seconds), lastWords: words)
            return state.incarnation
        }
        // One that has just ended needs no signal.
        try? incarnation?.send(.kill)
    }

    private func end(
        _ signal: @escaping @Sendable (Incarnation) async throws -> Void
    ) async throws -> TerminationStatus {
        // Waits before it signals: the end may come at once.
        let (ends, waiter) = AsyncThrowingStream.makeStream(of: TerminationStatus.self)
        let found = state.withLock { state in
            guard let incarnation = state.incarnation else { return nil as Incarnation? }
            state.incarnation?.isEndAsked = true
            state.usage.lastLook(at: incarnation.processID)
            state.endWaiters.append(waiter)
            return incarnation
        }
        guard let found else { throw ServerFailure.staysAway("the server does not run") }
        try await signal(found)
        for try await status in ends { return status }
        throw CancellationError()
    }

    // MARK: Watching

    private func supervise() async throws {
        defer { startRequest.finish() }
        for await _ in startRequests {
            let end: (status: TerminationStatus, logStart: UInt64)
            do {
                end = try await runOnce()
            } catch {
                settle(.failure(error))
                throw error
            }
            let (wasAsked, complaint) = state.withLock { state in
                let wasAsked = state.incarnation?.isEndAsked ?? false
                state.incarnation = nil
                return (wasAsked, state.complaint)
            }
            guard wasAsked || Task.isCancelled else {
                let failure =
                    complaint
                    ?? .ended(
                        status: "\(end.status)",
                        lastWords: Self.lastWords(logFile, from: end.logStart))
                settle(.failure(failure))
                throw failure
            }
            settle(.success(end.status))
        }
    }

    /// Tells all who wait; an end is bad news for who waits for the start.
    private func settle(_ result: Swift.Result<TerminationStatus, any Error>) {
        let (ready, ended) = state.withLock { state in
            defer { (state.readyWaiters, state.endWaiters) = ([], []) }
            return (state.readyWaiters, state.endWaiters)
        }
        for waiter in ended {
            waiter.yield(with: result)
            waiter.finish()
        }
        for waiter in ready {
            waiter.resume(with: result.flatMap { _ in .failure(CancellationError()) })
        }
    }

    private func runOnce() async throws -> (status: TerminationStatus, logStart: UInt64) {
        let log = try FileDescriptor.open(
            FilePath(logFile), .writeOnly, options: [.create, .append],
            permissions: .ownerReadWrite)
        let logStart = UInt64(try log.seek(offset: 0, from: .end))
        let teardown = [
            TeardownStep.gracefulShutDown(allowedDurationToNextStep: options.stopPatience)
        ]
        var platform = PlatformOptions()
        platform.teardownSequence = teardown
        platform.processGroupID = 0
        let outcome = try await Subprocess.run(
            .path(FilePath(try options.executable ?? Self.ownExecutable())),
            arguments: Arguments(arguments), platformOptions: platform, input: .none,
            output: .sequence, error: .fileDescriptor(log, closeAfterSpawningProcess: true)
        ) { execution in
            let isGivenUp = state.withLock { state in
                state.starts += 1
                state.incarnation = Incarnation(
                    send: { try execution.send(signal: $0) },
                    tearDown: { await execution.teardown(using: teardown) },
                    processID: execution.processIdentifier.value, logStart: logStart)
                return state.complaint != nil
            }
            // The patience was over before there was a process: nobody else would end it.
            if isGivenUp { try execution.send(signal: .kill) }
            // One line when it is ready, and nothing before; the end comes with its last descriptor.
            for try await line in execution.standardOutput.strings() where !line.isEmpty {
                try becameReady()
            }
        }
        return (outcome.terminationStatus, logStart)
    }

    private func becameReady() throws {
        let file = URL(fileURLWithPath: options.dataDirectory + "/admin.json")
        let address = try JSONDecoder().decode(ServerAddress.self, from: Data(contentsOf: file))
        if let processID { try options.whenReady(processID) }
        let waiters = state.withLock { state in
            state.incarnation?.address = address
            defer { state.readyWaiters = [] }
            return state.readyWaiters
        }
        for waiter in waiters { waiter.resume() }
    }

    private var arguments: [String] {
        let host = options.deviceHost
        return [
            "serve", "--data-dir", options.dataDirectory,
            "--device-address", "\(host):\(ports.device)",
            "--admin-address", "127.0.0.1:\(ports.admin)",
        ] + options.arguments
    }

    /// The log's last lines, of one life.
    private static func lastWords(_ logFile: String, from start: UInt64) -> String {
        guard let file = FileHandle(forReadingAtPath: logFile) else { return "none" }
        defer { try? file.close() }
        let most: UInt64 = 64 << 10
        // What cannot be read is not told; the failure itself is.
        let end = (try? file.seekToEnd()) ?? 0
        try? file.seek(toOffset: max(start, end > most ? end - most : 0))
        let text = String(decoding: (try? file.readToEnd()) ?? Data(), as: UTF8.self)
        return text.split(separator: "\n").suffix(5).joined(separator: " | ")
    }

    private static func ownExecutable() throws -> String {
        #if os(Linux)
            return try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        #else
            guard let path = Bundle.main.executablePath else {
                throw ServerFailure.impossible("this program's own path is not known")
            }
            return path
        #endif
    }
}

extension ServerProcess {
    /// Where it is and how operators get in; the token is another after each start. Nil while it is
    /// not ready.
    package var address: ServerAddress? {
        state.withLock { $0.incarnation?.address }
    }

    package var processID: Int32? {
        state.withLock { $0.incarnation?.processID }
    }

    /// How often it was started.
    package var starts: Int {
        state.withLock { $0.starts }
    }

    /// What it uses now, for a sampler that asks once a second; CPU time of all its lives together.
    ///
    /// - Parameter database: its private PostgreSQL's first process.
    package func usage(database: Int32? = nil) -> ServerUsage {
        state.withLock { state in
            state.usage.look(at: state.incarnation?.processID, database: database)
        }
    }
}
