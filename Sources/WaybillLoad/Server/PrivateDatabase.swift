internal import WaybillPostgres

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The PostgreSQL that a server runs for itself, as chaos sees it.
struct PrivateDatabase: Sendable {
    /// The server's.
    let dataDirectory: String
    private static let returnPatience = Duration.seconds(120)

    /// Nil where the server has none.
    func find() throws(ServerFailure) -> ExistingPostgres? {
        do {
            return try ExistingPostgres(dataDirectory: dataDirectory + "/postgres")
        } catch {
            throw .toolFailed("the server's PostgreSQL is not found: \(error)")
        }
    }

    /// SIGKILL to its first process and all others; nothing where none runs.
    func kill() throws(ServerFailure) {
        guard let found = try find()?.processID else { return }
        Self.kill(found)
    }

    /// The parent first: it would tell its children to end in order.
    static func kill(_ parent: Int32) {
        let children = ProcessTable().children(of: parent).map(\.processID)
        for process in [parent] + children { _ = Glibc.kill(process, SIGKILL) }
    }

    /// Waits until it answers. The server itself has to bring it back.
    func waitForReturn() async throws {
        let deadline = ContinuousClock.now + Self.returnPatience
        var last = "nothing was there to connect to"
        while ContinuousClock.now < deadline {
            do {
                if let found = try find() {
                    let options = ConnectionOptions(
                        connectionString: found.connectionString,
                        applicationName: "waybill load")
                    _ = try PostgresConnection(options)
                    return
                }
            } catch let error as PostgresError {
                last = "\(error)"
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw ServerFailure.staysAway(
            "the server's PostgreSQL did not come back within \(Self.returnPatience) after it was "
                + "killed: \(last)")
    }
}
