internal import Logging
internal import ServiceLifecycle
internal import WaybillPostgres
internal import WaybillThreads

/// Starts the server's own PostgreSQL again when it has died: nobody else would.
///
/// It is not this process's child (a killed server leaves it running and the next start adopts it),
/// so no signal tells of its end.
struct PostgresKeeper: Service {
    /// Nil where somebody else runs the database.
    let own: PrivatePostgres?
    private static let interval = Duration.seconds(1)
    private let logger = Logger(label: "waybill.database")

    init(own: PrivatePostgres?) {
        self.own = own
    }

    func run() async throws {
        guard let own else { return try await gracefulShutdown() }
        await cancelWhenGracefulShutdown { await keepUp(own) }
    }

    private func keepUp(_ own: PrivatePostgres) async {
        var backoff = Backoff(base: Self.interval, ceiling: .seconds(5))
        var wait = Self.interval
        while true {
            do {
                try await Task.sleep(for: wait)
            } catch {
                return
            }
            wait = Self.interval
            guard !own.isRunning else { continue }
            do {
                if try await own.startAgain() {
                    logger.error("the private PostgreSQL had died and was started again")
                }
                backoff.reset()
            } catch {
                guard !Task.isCancelled else { return }
                wait = backoff.next()
                logger.error(
                    "the private PostgreSQL has died and does not start; it is tried again",
                    metadata: ["error": "\(error)"])
            }
        }
    }
}
