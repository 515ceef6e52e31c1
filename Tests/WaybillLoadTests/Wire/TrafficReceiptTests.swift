import Synchronization
import Testing
import WaybillLoad
import WaybillModel

@Suite(.timeLimit(.minutes(1))) struct TrafficReceiptTests {
    private func runWithReader(_ rig: TrafficRig) async throws -> TrafficCounters {
        let reading = Task { try await rig.traffic.readReceipts() }
        try await rig.traffic.run()
        let open = try await rig.traffic.finishReading(patience: 30)
        #expect(open == 0)
        try await reading.value
        return try await rig.close()
    }

    @Test(arguments: [1, 2])
    func readsAndConfirmsAllReceipts(_ loops: Int) async throws {
        let api = FakeAPI()
        let server = try await FakeServer.start { api.answer($0) }
        let plan = TrafficRig.plan(devices: 5, bundles: 60, connections: 3)
        let rig = try TrafficRig(server, plan: plan, loops: loops)
        let counters = try await runWithReader(rig)
        #expect(counters.receipted == 60)
        #expect(counters.outcomes.accepted == 120)
        #expect(counters.readTroubles.isEmpty)
        #expect(counters.unexpectedReceipts == 0)
        for number in 0..<60 { #expect(rig.ledger[number].receipts.count == 1) }
        for device in 0..<5 {
            let own = server.requests.filter { $0.token == "token-\(device)" }
            let last = try #require(own.last { $0.call == "POST /v1/receipts/confirm" })
            #expect(last.body == Array(#"{"through":12}"#.utf8))
            // After the last one it was asked once more.
            #expect(own.last?.target == "/v1/receipts?after=12&limit=1000&wait=0")
        }
        try await server.stop()
    }

    /// The server's time lies before the question, so it counts; else the arrival does.
    @Test func aReceiptThatWaitedForItsReaderCountsFromTheServersTime() async throws {
        let bundle = FakeSource.id(0)
        let server = try await FakeServer.start { request in
            guard request.method == "GET" else { return .status(202, "{}") }
            guard request.target.contains("after=0") else {
                return .status(200, #"{"receipts":[]}"#)
            }
            let receipt =
                #"{"seq":1,"bundle_id":"\#(bundle)","#
                + #""settled_at":"2000-01-01T00:00:00.000000Z"}"#
            return .status(200, #"{"receipts":[\#(receipt)]}"#)
        }
        let rig = try TrafficRig(server, plan: TrafficRig.plan())
        let counters = try await runWithReader(rig)
        #expect(counters.receipted == 1)
        // A quarter of a century before the run.
        #expect(try #require(rig.ledger[0].receipts.first) < 0)
        try await server.stop()
    }

    @Test func asksAgainWhenReadingFails() async throws {
        let api = FakeAPI()
        let troubles = Mutex<[FakeAnswer]>([
            .status(503, #"{"code":"database_unavailable"}"#, ["Retry-After": "5"]), .close,
            .status(200, "no page"),
            .raw(["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"], thenClose: true),
        ])
        let server = try await FakeServer.start { request in
            guard request.path == "/v1/receipts" else { return api.answer(request) }
            return troubles.withLock { $0.isEmpty ? nil : $0.removeFirst() } ?? api.answer(request)
        }
        let rig = try TrafficRig(server, plan: TrafficRig.plan(devices: 1, bundles: 3))
        let counters = try await runWithReader(rig)
        #expect(counters.receipted == 3)
        #expect(
            counters.readTroubles
                == ["database_unavailable": 1, "connection_closed": 2, "malformed_page": 1])
        try await server.stop()
    }

    @Test func sendsTheSameBytesAgainWhenTheReceiptHasCome() async throws {
        let api = FakeAPI()
        let uploaded = Mutex<Set<Int>>([])
        let server = try await FakeServer.start { request in
            guard request.call == "POST /v1/bundles", let number = FakeAPI.number(request) else {
                return api.answer(request)
            }
            // What was settled before has its receipt already.
            let isNew = uploaded.withLock { $0.insert(number).inserted }
            return isNew ? api.answer(request) : .status(202, #"{"state":"settled"}"#)
        }
        let plan = TrafficRig.plan(devices: 1, bundles: 2) { $0.faults.resent = 0.5 }
        let recipes = FakeRecipes(devices: 1, resend: [1: .whenSettled])
        let rig = try TrafficRig(server, plan: plan, recipes: recipes)
        let counters = try await runWithReader(rig)
        let uploads = server.requests.filter { $0.call == "POST /v1/bundles" }
        #expect(uploads.compactMap(FakeAPI.number) == [0, 1, 1])
        #expect(uploads[1].body == uploads[2].body)
        #expect(rig.source.sealedAgain == [1])
        #expect(counters.resent == 1)
        #expect(counters.acknowledged == 2)
        #expect(counters.receipted == 2)
        try await server.stop()
    }

    @Test(arguments: [
        FakeAnswer.status(404, #"{"code":"not_found"}"#),
        .status(200, #"{"state":"lost","parts":[]}"#),
    ])
    func sendsAgainWhatTheServerHasLost(_ status: FakeAnswer) async throws {
        let api = FakeAPI()
        let uploads = Mutex(0)
        let question = "GET /v1/bundles/\(FakeSource.id(0))"
        let server = try await FakeServer.start { request in
            if request.call == question { return status }
            guard request.call == "POST /v1/bundles" else { return api.answer(request) }
            let count = uploads.withLock { count in
                count += 1
                return count
            }
            return count == 1 ? .status(202, "{}") : api.answer(request)
        }
        let rig = try TrafficRig(server, plan: TrafficRig.plan()) { $0.lossCheckSeconds = 0.01 }
        let counters = try await runWithReader(rig)
        #expect(counters.lostAndSentAgain == 1)
        #expect(counters.receipted == 1)
        #expect(counters.acknowledged == 1)
        #expect(rig.ledger[0].sent.count == 2)
        #expect(rig.ledger[0].acknowledged.count == 1)
        try await server.stop()
    }

    @Test func tellsHowManyReceiptsDidNotCome() async throws {
        let server = try await FakeServer.start { request in
            request.method == "GET" ? .status(200, #"{"receipts":[]}"#) : .status(202, "{}")
        }
        let rig = try TrafficRig(server, plan: TrafficRig.plan(devices: 3, bundles: 7))
        let reading = Task { try await rig.traffic.readReceipts() }
        try await rig.traffic.run()
        #expect(try await rig.traffic.finishReading(patience: 0.05) == 7)
        try await reading.value
        #expect(try await rig.close().receipted == 0)
        try await server.stop()
    }

    @Test func anIntervalTellsWhatHappenedSinceTheLast() async throws {
        let server = try await FakeServer.start { request in
            FakeAPI.number(request) == 3 ? .hold : .status(202, "{}")
        }
        let rig = try TrafficRig(server, plan: TrafficRig.plan(bundles: 6))
        async let run: Void = rig.traffic.run()
        try await until { server.held.count == 1 }
        let first = try await rig.traffic.interval()
        #expect(first.acknowledged == 3)
        #expect(first.ackP99 != nil)
        let second = try await rig.traffic.interval()
        #expect(second.acknowledged == 0)
        #expect(second.ackP50 == nil)
        server.release { _ in .status(202, "{}") }
        try await run
        #expect(try await rig.traffic.interval().acknowledged == 3)
        _ = try await rig.close()
        try await server.stop()
    }
}
