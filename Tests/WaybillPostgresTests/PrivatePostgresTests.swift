import Foundation
import PostgresTesting
import Testing
import WaybillPostgres

@Suite struct PrivatePostgresTests {
    private static let settings = ["fsync": "off", "shared_buffers": "16MB"]

    /// A server in a directory of its own; stopped afterwards.
    private func withServer(_ body: (String, PrivatePostgres) async throws -> Void) async throws {
        let directory = "/tmp/waybill-private-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        defer { TestServer.remove(directory) }
        let server = try await PrivatePostgres.start(
            dataDirectory: directory, settings: Self.settings)
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(directory, server))
        } catch {
            result = .failure(error)
        }
        try await server.stop()
        try result.get()
    }

    @Test func adoptsTheServerThatAKilledProcessLeftRunning() async throws {
        try await withServer { directory, server in
            #expect(!server.isAdopted)
            let before = try TestServer.connect(server.connectionString)
            try before.execute("CREATE TABLE public.kept (n integer)")
            let adopted = try await PrivatePostgres.start(
                dataDirectory: directory, settings: Self.settings)
            #expect(adopted.isAdopted)
            #expect(before.isAlive)
            let after = try TestServer.connect(adopted.connectionString)
            #expect(try after.query("SELECT count(*) FROM public.kept")[0].int8(0) == 0)
        }
    }

    @Test func aPoolSurvivesARestartOfTheServer() async throws {
        try await withServer { directory, server in
            let pool = try PostgresPool(
                ConnectionOptions(
                    connectionString: server.connectionString, applicationName: "restart"),
                threads: 2)
            try await pool.withConnection { try $0.execute("CREATE TABLE public.kept (n int)") }
            try await server.stop()
            let error = await #expect(throws: PostgresError.self) {
                try await pool.withConnection { try $0.execute("SELECT 1") }
            }
            #expect(error?.isUnavailable == true)
            _ = try await PrivatePostgres.start(dataDirectory: directory, settings: Self.settings)
            var hasAnswered = false
            // The pool waits longer from try to try, two seconds at most.
            for _ in 0..<500 where !hasAnswered {
                do {
                    try await pool.withConnection { try $0.execute("TABLE public.kept") }
                    hasAnswered = true
                } catch let error as PostgresError where error.isUnavailable {
                    try await Task.sleep(for: .milliseconds(10))
                }
            }
            #expect(hasAnswered)
            pool.close()
        }
    }

    @Test func startsAgainAfterTheServerItselfWasKilled() async throws {
        try await withServer { directory, server in
            let pid = try TestServer.connect(server.connectionString).query(
                "SELECT (regexp_match(pg_read_file('postmaster.pid'), '[0-9]+'))[1]::integer")[0]
                .int4(0)
            #expect(kill(pid, SIGKILL) == 0)
            let again = try await PrivatePostgres.start(
                dataDirectory: directory, settings: Self.settings)
            #expect(try TestServer.connect(again.connectionString).isAlive)
        }
    }

    @Test func aKilledOneIsSeenAndStartedAgain() async throws {
        try await withServer { directory, server in
            let seen = try #require(try ExistingPostgres(dataDirectory: directory))
            let first = try #require(seen.processID)
            #expect(server.isRunning)
            #expect(seen.connectionString == server.connectionString)
            #expect(try await server.startAgain() == false)
            #expect(kill(first, SIGKILL) == 0)
            while server.isRunning { try await Task.sleep(for: .milliseconds(1)) }
            #expect(seen.processID == nil)
            // What was killed has stopped.
            try await server.stop()
            // Its children leave when they notice, and only then is the way free.
            let deadline = ContinuousClock.now + .seconds(60)
            var isStarted = false
            while !isStarted, ContinuousClock.now < deadline {
                // The next try may succeed.
                isStarted = (try? await server.startAgain()) ?? false
            }
            #expect(isStarted && server.isRunning)
            #expect(seen.processID != first)
            #expect(try TestServer.connect(seen.connectionString).isAlive)
        }
    }

    @Test func nothingIsSeenWhereNothingWasMade() throws {
        #expect(try ExistingPostgres(dataDirectory: "/tmp/waybill-private-nothing") == nil)
    }

    @Test func startsAfterAStartThatDiedWhileTheClusterWasMade() async throws {
        let directory = "/tmp/waybill-private-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        defer { TestServer.remove(directory) }
        var isKilled = false
        // A machine that is busy with other tests may look only when the cluster is complete.
        for _ in 0..<10 where !isKilled {
            TestServer.remove(directory)
            isKilled = try await Self.killStart(in: directory)
        }
        #expect(isKilled)
        let server = try await PrivatePostgres.start(
            dataDirectory: directory, settings: Self.settings)
        #expect(try TestServer.connect(server.connectionString).isAlive)
        try await server.stop()
        #expect(Self.clusterVersions(in: directory).contains("cluster"))
    }

    /// Starts a server and kills what makes its cluster, as soon as there is something of that; false
    /// when it came too late, the server having started and been stopped again.
    private static func killStart(in directory: String) async throws -> Bool {
        let start = Task {
            try await PrivatePostgres.start(dataDirectory: directory, settings: settings)
        }
        let deadline = ContinuousClock.now + .seconds(60)
        while clusterVersions(in: directory).isEmpty, ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(1))
        }
        for process in processes(ofClusterIn: directory) { kill(process, SIGKILL) }
        do {
            try await start.value.stop()
            return false
        } catch is PostgresError {
            return true
        }
    }

    /// Directories that look like a cluster.
    private static func clusterVersions(in directory: String) -> [String] {
        // A directory that is not there yet holds none.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.filter {
            FileManager.default.fileExists(atPath: "\(directory)/\($0)/PG_VERSION")
        }
    }

    /// Those that were started to make a cluster in this directory.
    private static func processes(ofClusterIn directory: String) -> [pid_t] {
        // Processes end while they are looked at.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { pid_t($0) }.filter { number in
            let line = try? Data(contentsOf: URL(filePath: "/proc/\(number)/cmdline"))
            let words = String(decoding: line ?? Data(), as: UTF8.self)
            return words.contains("initdb") && words.contains(directory + "/cluster")
        }
    }

    @Test func findsAPlaceWhenTheDirectoryCannotBeReached() async throws {
        // Only root's server runs as another user.
        guard geteuid() == 0 else { return }
        let home = "/tmp/waybill-home-\(getpid())"
        #expect(mkdir(home, 0o700) == 0)
        defer { TestServer.remove(home) }
        let server = try await PrivatePostgres.start(
            dataDirectory: home + "/data/postgres", settings: Self.settings)
        #expect(server.location.hasPrefix("/var/lib/waybill/"))
        #expect(try TestServer.connect(server.connectionString).isAlive)
        try await server.stop()
        TestServer.remove(server.location)
    }

    @Test func worksWhereTheSocketsPathWouldBeTooLong() async throws {
        let directory =
            "/tmp/waybill-long-\(getpid())/" + String(repeating: "long-", count: 20) + "/data"
        defer { TestServer.remove("/tmp/waybill-long-\(getpid())") }
        // A root's server needs the directories above to be open.
        #expect(mkdir("/tmp/waybill-long-\(getpid())", 0o755) == 0)
        #expect(mkdir(String(directory.dropLast(5)), 0o755) == 0)
        let server = try await PrivatePostgres.start(
            dataDirectory: directory, settings: Self.settings)
        let socketDirectory = try #require(
            server.connectionString.firstMatch(of: /host='([^']+)'/)?.1)
        defer { TestServer.remove(String(socketDirectory)) }
        #expect(server.location == directory)
        #expect(try TestServer.connect(server.connectionString).isAlive)
        try await server.stop()
    }
}
