import Synchronization
import Testing
import WaybillLoad
import WaybillModel

@Suite(.timeLimit(.minutes(1))) struct TrafficTests {
    @Test(arguments: [1, 2])
    func sendsEachBundleOnceAndInTheOrderOfItsDevice(_ loops: Int) async throws {
        let server = try await FakeServer.start { _ in .status(202, "{}") }
        let plan = TrafficRig.plan(devices: 5, bundles: 100, connections: 4)
        let rig = try TrafficRig(server, plan: plan, loops: loops)
        let counters = try await rig.runAndClose()
        #expect(counters.acknowledged == 100)
        #expect(counters.sends == 100)
        #expect(counters.errors == 0)
        #expect(rig.source.taken.sorted() == Array(0..<100))
        let requests = server.requests
        for device in 0..<5 {
            let sent = requests.filter { $0.token == "token-\(device)" }
            #expect(sent.compactMap(FakeAPI.number) == Array(stride(from: device, to: 100, by: 5)))
        }
        for request in requests {
            let number = try #require(FakeAPI.number(request))
            #expect(request.body == Array(FakeSource.text(number).utf8))
            #expect(request.fields["content-type"] == "application/zip")
            let entry = rig.ledger[number]
            #expect(entry.sent.count == 1)
            #expect(entry.acknowledged.count == 1)
            #expect(entry.digest == rig.source.bundle(number).digest)
        }
        try await server.stop()
    }

    /// Answers come only when all devices have an upload in progress: a second one of a device would
    /// be there by then, as there are connections enough for it.
    @Test func aDeviceNeverHasTwoUploadsInProgress() async throws {
        let server = try await FakeServer.start { _ in .hold }
        let plan = TrafficRig.plan(devices: 3, bundles: 30, connections: 12)
        let rig = try TrafficRig(server, plan: plan)
        async let counters = rig.runAndClose()
        for _ in 0..<10 {
            try await until { server.held.count >= 3 }
            let tokens = server.held.map(\.token)
            #expect(tokens.sorted() == ["token-0", "token-1", "token-2"])
            server.release { _ in .status(202, "{}") }
        }
        #expect(try await counters.acknowledged == 30)
        try await server.stop()
    }

    /// Device 0's first upload is held while the others go on.
    @Test func bundlesWaitInTheirDevicesLineWhileOthersGoOn() async throws {
        let server = try await FakeServer.start { request in
            FakeAPI.number(request) == 0 ? .hold : .status(202, "{}")
        }
        let plan = TrafficRig.plan(devices: 4, bundles: 40, connections: 2)
        let rig = try TrafficRig(server, plan: plan) { $0.parkedBytesMax = 100 }
        async let counters = rig.runAndClose()
        try await until { server.requests.count == 31 }
        #expect(rig.ledger[0].acknowledged.isEmpty)
        server.release { _ in .status(202, "{}") }
        #expect(try await counters.acknowledged == 40)
        let own = server.requests.filter { $0.token == "token-0" }
        #expect(own.compactMap(FakeAPI.number) == Array(stride(from: 0, to: 40, by: 4)))
        // One was kept, the rest went beyond the bound.
        #expect(rig.source.sealedAgain == Array(stride(from: 8, to: 40, by: 4)))
        try await server.stop()
    }

    @Test func openArrivalsKeepTheirTimesWhileTheServerStalls() async throws {
        let server = try await FakeServer.start { _ in .hold }
        let plan = TrafficRig.plan(devices: 2, bundles: 20, connections: 4) {
            $0.arrivals = .init(model: .constant, rate: 1000)
        }
        let rig = try TrafficRig(server, plan: plan)
        async let finished: Void = rig.traffic.run()
        try await until { rig.ledger.planned.count == 20 }
        #expect(server.requests.count <= 2)
        while (0..<20).contains(where: { rig.ledger[$0].acknowledged.isEmpty }) {
            server.release { _ in .status(202, "{}") }
            try await Task.sleep(for: .milliseconds(1))
        }
        try await finished
        let intended = (0..<20).compactMap { rig.ledger[$0].intended }
        #expect(zip(intended.dropFirst(), intended).allSatisfy { $0 - $1 == 1_000_000 })
        let latencies = try await rig.traffic.latencies()
        let corrected = try #require(latencies.first { $0.name == "ack" })
        let uncorrected = try #require(latencies.first { $0.name == "ack_uncorrected" })
        #expect(corrected.count == 20)
        #expect(uncorrected.count == 20)
        // Bundle 17 and its like waited for their devices: that counts from the intended time only.
        #expect(corrected.max > uncorrected.p50)
        #expect(corrected.buckets.map { $0[1] }.reduce(0, +) == 20)
        for number in 0..<20 {
            let entry = rig.ledger[number]
            let first = try #require(entry.sent.first)
            #expect(first >= intended[number])
        }
        _ = try await rig.close()
        try await server.stop()
    }

    @Test func theClosedModelEndsAtItsTime() async throws {
        let server = try await FakeServer.start { _ in .status(202, "{}") }
        let plan = TrafficRig.plan(devices: 3, bundles: nil, connections: 2) {
            $0.warmupSeconds = 0.05
            $0.durationSeconds = 0.1
        }
        let phases = Mutex<[TrafficPhase]>([])
        let rig = try TrafficRig(server, plan: plan)
        try await rig.traffic.run { phase in phases.withLock { $0.append(phase) } }
        let latencies = try await rig.traffic.latencies()
        let counters = try await rig.close()
        let since = try #require(counters.measuredSince)
        #expect(phases.withLock { $0 } == [.warmUp, .measured(since: since), .draining, .finished])
        #expect(counters.measuredUntil == since + 100_000_000)
        #expect(counters.acknowledged == counters.planned)
        #expect(counters.acknowledged == server.requests.count)
        let intended = rig.ledger.planned.compactMap { rig.ledger[$0].intended }
        #expect(intended.allSatisfy { $0 < since + 100_000_000 })
        // Of the warm-up nothing is in the figures.
        let measured = intended.count { $0 >= since }
        #expect(latencies.map(\.count) == Array(repeating: measured, count: 2) + [0, 0, measured])
        #expect(counters.loopNanoseconds > 0)
        try await server.stop()
    }

    @Test func saysWhenItWaitsForASealedBundle() async throws {
        let server = try await FakeServer.start { _ in .status(202, "{}") }
        let plan = TrafficRig.plan(devices: 2, bundles: 6)
        let rig = try TrafficRig(server, plan: plan, source: FakeSource(withheld: [2, 4]))
        async let counters = rig.runAndClose()
        for number in [2, 4] {
            try await until { rig.source.waiting == [number] }
            #expect(server.requests.count <= number)
            rig.source.feed(number)
        }
        #expect(try await counters.starved == 2)
        #expect(try await counters.acknowledged == 6)
        try await server.stop()
    }

    @Test func whatHasNoAnswerWhenPatienceEndsIsUnanswered() async throws {
        let server = try await FakeServer.start { _ in .hold }
        let plan = TrafficRig.plan(devices: 4, bundles: 8, connections: 2) {
            $0.arrivals = .init(model: .poisson, rate: 100_000)
        }
        let rig = try TrafficRig(server, plan: plan) { $0.patienceSeconds = 0.02 }
        let counters = try await rig.runAndClose()
        #expect(counters.unanswered == 8)
        #expect(counters.acknowledged == 0)
        #expect(counters.refused == 0)
        #expect(rig.ledger.planned.count == 8)
        try await server.stop()
    }

    @Test func patienceDoesNotEndWhatIsSentAgain() async throws {
        let isFirst = Mutex(true)
        let server = try await FakeServer.start { request in
            let wasFirst = isFirst.withLock { value in
                defer { value = false }
                return value
            }
            return wasFirst ? .status(202, "{}") : .hold
        }
        let rig = try TrafficRig(
            server, plan: TrafficRig.plan(), recipes: FakeRecipes(devices: 1, resend: [0: .atOnce])
        ) { $0.patienceSeconds = 1 }
        try await rig.traffic.run()
        try await until { server.held.count == 1 }
        server.release { _ in .status(503) }
        try await until { server.held.count == 1 }
        let counters = try await rig.close()
        #expect(counters.acknowledged == 1)
        #expect(counters.unanswered == 0)
        try await server.stop()
    }

    @Test func cancellingEndsTheRun() async throws {
        let server = try await FakeServer.start { _ in .hold }
        let rig = try TrafficRig(server, plan: TrafficRig.plan())
        let run = Task { try await rig.traffic.run() }
        try await until { server.held.count == 1 }
        run.cancel()
        try await run.value
        #expect(try await rig.close().unanswered == 1)
        try await server.stop()
    }

    @Test func refusesWhatItCannotSendTo() throws {
        let slug = try #require(TenantSlug("load"))
        func begin(_ urls: [String], authorityFile: String? = nil) throws {
            let devices = urls.map { url in
                LoadDevice(
                    deviceID: DeviceID(high: 1, low: 1), tenant: slug, epoch: 1, token: "t",
                    secret: [], baseURL: url)
            }
            _ = try Traffic(
                plan: TrafficRig.plan(), devices: devices,
                ports: TrafficPorts(
                    recipes: FakeRecipes(devices: 1), source: FakeSource(), ledger: FakeLedger()),
                clock: RunClock(), tls: TrafficTLS(authorityFile: authorityFile))
        }
        #expect(throws: TrafficError.noDevices) { try begin([]) }
        #expect(throws: TrafficError.severalServers("http://a/v1", "http://b/v1")) {
            try begin(["http://a/v1", "http://b/v1"])
        }
        for url in ["ftp://a/v1", "http://", "http://a:x/v1", "http://a:70000", "http://[::1]x"] {
            #expect(throws: TrafficError.badURL(url)) { try begin([url]) }
        }
        do {
            try begin(["https://a/v1"], authorityFile: "/nonexistent")
            Issue.record("a missing file was taken")
        } catch TrafficError.badAuthorities {
        }
    }

    @Test func speaksTLSWithAnAuthorityOfItsOwn() async throws {
        let identity = try TestIdentity()
        let api = FakeAPI()
        let server = try await FakeServer.start(tls: identity.context) { api.answer($0) }
        let plan = TrafficRig.plan(devices: 2, bundles: 10, connections: 2)
        let rig = try TrafficRig(
            server, plan: plan, tls: TrafficTLS(authorityFile: identity.authorityFile))
        #expect(try await rig.runAndClose().acknowledged == 10)

        // Without it nothing is sent.
        let count = server.requests.count
        let stranger = try TrafficRig(server, plan: plan) { $0.patienceSeconds = 0.05 }
        let run = Task { try await stranger.traffic.run() }
        while try await stranger.traffic.counters().connectTroubles["tls"] == nil {
            try await Task.sleep(for: .milliseconds(1))
        }
        run.cancel()
        try await run.value
        #expect(try await stranger.close().acknowledged == 0)
        #expect(server.requests.count == count)
        try await server.stop()
    }
}
