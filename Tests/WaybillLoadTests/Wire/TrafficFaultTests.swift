import Synchronization
import Testing
import WaybillLoad
import WaybillModel

/// Answers each number's requests one after the other from a list, and 202 when it is over.
private final class Scripted: Sendable {
    private let answers: Mutex<[Int: [FakeAnswer]]>

    init(_ answers: [Int: [FakeAnswer]]) {
        self.answers = Mutex(answers)
    }

    func answer(_ request: FakeRequest) -> FakeAnswer {
        guard let number = FakeAPI.number(request) else { return .status(400) }
        return answers.withLock { answers in
            guard var rest = answers[number], !rest.isEmpty else { return .status(202, "{}") }
            defer { answers[number] = rest }
            return rest.removeFirst()
        }
    }
}

@Suite(.timeLimit(.minutes(1))) struct TrafficFaultTests {
    static let busy = FakeAnswer.status(
        503, #"{"code":"backlog_full","retryable":true}"#, ["Retry-After": "1"])

    /// The answers to a bundle's first tries, and what the device is to count.
    static let troubles: [(String, [FakeAnswer], [String: Int])] = [
        ("busy", [busy, busy], ["backlog_full": 2]),
        (
            "too many", [.status(429, #"{"code":"rate_limited"}"#), .status(408), .status(425)],
            ["rate_limited": 1, "status_408": 1, "status_425": 1]
        ),
        ("closed before the answer", [.close, .close], ["connection_closed": 2]),
        (
            "half an answer",
            [.raw(["HTTP/1.1 202 Accepted\r\nContent-Length: 50\r\n\r\n{\"st"], thenClose: true)],
            ["connection_closed": 1]
        ),
        ("half a head", [.raw(["HTTP/1.1 20"], thenClose: true)], ["connection_closed": 1]),
        ("not HTTP", [.raw(["SSH-2.0-OpenSSH\r\n"])], ["malformed_answer": 1]),
        (
            "two answers", [.raw(["HTTP/1.1 204 x\r\n\r\nHTTP/1.1 204 x\r\n\r\n"])],
            ["malformed_answer": 1]
        ),
        (
            "chunks",
            [
                .raw([
                    "HTTP/1.1 202 A\r\nTransfer-Encoding: chunked\r\n", "\r\n4\r\n{\"a\"",
                    "\r\n3\r\n",
                    ":1}\r\n0\r\n", "\r\n",
                ])
            ], [:]
        ),
        (
            "closes after the answer",
            [
                .raw(
                    ["HTTP/1.1 202 A\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"],
                    thenClose: true)
            ],
            [:]
        ),
        (
            "without length",
            [.raw(["HTTP/1.1 202 A\r\n\r\n{}"], thenClose: true)], [:]
        ),
    ]

    @Test(arguments: troubles)
    func sendsTheSameBytesUntilTheyAreReceived(
        _ trouble: (name: String, answers: [FakeAnswer], retries: [String: Int])
    ) async throws {
        let script = Scripted([1: trouble.answers])
        let server = try await FakeServer.start { script.answer($0) }
        let rig = try TrafficRig(server, plan: TrafficRig.plan(devices: 2, bundles: 6))
        let counters = try await rig.runAndClose()
        #expect(counters.acknowledged == 6)
        #expect(counters.retries == trouble.retries)
        let tries = trouble.retries.values.reduce(0, +) + 1
        #expect(rig.ledger[1].sent.count == tries)
        #expect(rig.ledger[1].acknowledged.count == 1)
        let sent = server.requests.filter { FakeAPI.number($0) == 1 }
        #expect(sent.count == tries)
        #expect(sent.allSatisfy { $0.body == Array(FakeSource.text(1).utf8) })
        let order = server.requests.filter { $0.token == "token-1" }.compactMap(FakeAPI.number)
        #expect(order == Array(repeating: 1, count: tries) + [3, 5])
        try await server.stop()
    }

    @Test(arguments: [(422, "archive_truncated"), (401, "unauthorized"), (413, "too_large")])
    func aRefusalIsFinalAndTheDeviceGoesOn(_ status: Int, _ code: String) async throws {
        let script = Scripted([2: [.status(status, #"{"code":"\#(code)"}"#)]])
        let server = try await FakeServer.start { script.answer($0) }
        let recipes = FakeRecipes(devices: 2, resend: [2: .atOnce])
        let rig = try TrafficRig(
            server, plan: TrafficRig.plan(devices: 2, bundles: 6), recipes: recipes)
        let counters = try await rig.runAndClose()
        #expect(counters.refused == 1)
        #expect(counters.refusals == [code: 1])
        #expect(counters.acknowledged == 5)
        #expect(counters.resent == 0)
        #expect(rig.ledger[2].refused == [code])
        #expect(rig.ledger[2].acknowledged.isEmpty)
        #expect(server.requests.compactMap(FakeAPI.number).sorted() == Array(0..<6))
        try await server.stop()
    }

    @Test func cutsItsConnectionInsideTheRequestAndBeforeTheAnswer() async throws {
        let server = try await FakeServer.start { request in
            // Both tries are held until both are there, in whichever order they come: the device
            // must not wait for the answer to the one that it cuts.
            FakeAPI.number(request) == 1 ? .hold : .status(202, "{}")
        }
        let recipes = FakeRecipes(
            devices: 1, cut: [0: .within(0.9), 1: .beforeAnswer, 2: .within(0)])
        let rig = try TrafficRig(
            server, plan: TrafficRig.plan(bundles: 4), recipes: recipes)
        async let running = rig.runAndClose()
        try await until { server.held.count == 2 }
        server.release { _ in .status(202, "{}") }
        let counters = try await running
        #expect(counters.acknowledged == 4)
        #expect(counters.cuts == 3)
        #expect(counters.retries.isEmpty)
        try await until { server.requests.count == 7 }
        let requests = server.requests
        func of(_ number: Int) -> [FakeRequest] {
            requests.filter { FakeAPI.number($0) == number }
        }
        #expect(of(0).map(\.isWhole).sorted { !$0 && $1 } == [false, true])
        let cut = try #require(of(0).first { !$0.isWhole })
        #expect((1..<FakeSource.text(0).utf8.count).contains(cut.body.count))
        #expect(of(1).count == 2)
        #expect(of(1).allSatisfy { $0.body == Array(FakeSource.text(1).utf8) && $0.isWhole })
        #expect(Set(of(1).map(\.connection)).count == 2)
        // Of the last one a single byte came.
        #expect(requests.filter { $0.method.isEmpty }.map(\.body) == [Array("P".utf8)])
        #expect(of(2).count == 1)
        #expect(rig.ledger[0].sent.count == 2)
        try await server.stop()
    }

    @Test func keepsTryingWhileTheServerIsRestarted() async throws {
        let script: FakeServer.Script = { request in
            FakeAPI.number(request) == 5 ? .hold : .status(202, "{}")
        }
        let first = try await FakeServer.start(script: script)
        let plan = TrafficRig.plan(devices: 4, bundles: 40, connections: 4)
        let rig = try TrafficRig(first, plan: plan)
        async let counters = rig.runAndClose()
        try await until { first.held.count == 1 }
        try await first.stop()
        while try await rig.traffic.counters().connectTroubles["connection_refused"] == nil {
            try await Task.sleep(for: .milliseconds(1))
        }
        let second = try await FakeServer.start(port: first.port) { _ in .status(202, "{}") }
        let counted = try await counters
        #expect(counted.acknowledged == 40)
        #expect(counted.retries["connection_closed"] != nil)
        for device in 0..<4 {
            let sent = (first.requests + second.requests).filter { $0.token == "token-\(device)" }
            var order = sent.compactMap(FakeAPI.number)
            // A bundle whose answer was lost comes twice, but nothing comes out of order.
            #expect(order == order.sorted())
            order = Array(Set(order)).sorted()
            #expect(order == Array(stride(from: device, to: 40, by: 4)))
        }
        try await second.stop()
    }

    @Test func sendsTheSameBytesAgainRightAfterTheAcknowledgement() async throws {
        let server = try await FakeServer.start { _ in .status(202, "{}") }
        let recipes = FakeRecipes(devices: 1, resend: [1: .atOnce])
        let rig = try TrafficRig(server, plan: TrafficRig.plan(bundles: 3), recipes: recipes)
        let counters = try await rig.runAndClose()
        #expect(server.requests.compactMap(FakeAPI.number) == [0, 1, 1, 2])
        #expect(server.requests[1].body == server.requests[2].body)
        #expect(counters.resent == 1)
        #expect(counters.acknowledged == 3)
        #expect(rig.ledger[1].sent.count == 2)
        #expect(rig.ledger[1].acknowledged.count == 1)
        try await server.stop()
    }
}

@Suite(.timeLimit(.minutes(1))) struct TrafficDeclaredTests {
    private let id = FakeSource.id(0).description

    private func run(
        _ script: @escaping FakeServer.Script, cut: BundleRecipe.Cut? = nil
    ) async throws -> (calls: [String], rig: TrafficRig, counters: TrafficCounters) {
        let server = try await FakeServer.start(script: script)
        let rig = try TrafficRig(
            server, plan: TrafficRig.plan(), source: FakeSource { _ in 3 },
            recipes: FakeRecipes(devices: 1, cut: cut.map { [0: $0] } ?? [:]))
        let counters = try await rig.runAndClose()
        try await until { cut == nil || server.requests.contains { !$0.isWhole } }
        try await server.stop()
        return (server.requests.map { $0.isWhole ? $0.call : "cut \($0.call)" }, rig, counters)
    }

    private func put(_ part: Int) -> String { "PUT /v1/bundles/\(id)/parts/\(part)" }

    private static let receiving = #"{"state":"receiving","parts":[]}"#

    @Test func declaresAndSendsThePartsInOrder() async throws {
        let server = try await FakeServer.start { request in
            .status(201, request.method == "POST" ? Self.receiving : "{}")
        }
        let rig = try TrafficRig(
            server, plan: TrafficRig.plan(), source: FakeSource { _ in 3 })
        let counters = try await rig.runAndClose()
        #expect(counters.acknowledged == 1)
        let requests = server.requests
        #expect(requests.map(\.call) == ["POST /v1/bundles", put(1), put(2), put(3)])
        let sealed = rig.source.bundle(0)
        let declaration = String(decoding: requests[0].body, as: UTF8.self)
        let parts = zip(sealed.parts, sealed.partDigests)
            .map { #"{"size":\#($0.count),"sha256":"\#($1)"}"# }.joined(separator: ",")
        #expect(declaration == #"{"bundle_id":"\#(id)","epoch":1,"parts":[\#(parts)]}"#)
        #expect(requests.dropFirst().map(\.body) == sealed.parts)
        #expect(rig.ledger[0].sent.count == 1)
        try await server.stop()
    }

    @Test func asksWhatIsThereAfterALostAnswerAndSendsTheRest() async throws {
        let isLost = Mutex(false)
        let second = put(2)
        let (calls, rig, counters) = try await run { request in
            let wasLost = isLost.withLock { $0 }
            if request.call == second, !wasLost {
                isLost.withLock { $0 = true }
                return .close
            }
            guard request.method == "POST", wasLost else {
                return .status(201, request.method == "POST" ? Self.receiving : "{}")
            }
            let parts = #"{"part":1,"complete":true},{"part":2,"complete":true}"#
            return .status(200, #"{"state":"receiving","parts":[\#(parts)]}"#)
        }
        #expect(calls == ["POST /v1/bundles", put(1), put(2), "POST /v1/bundles", put(3)])
        #expect(counters.acknowledged == 1)
        #expect(counters.retries == ["connection_closed": 1])
        #expect(rig.ledger[0].sent.count == 2)
    }

    @Test func sendsAllAgainWhenTheServerKnowsNothingOfIt() async throws {
        let isForgotten = Mutex(true)
        let third = put(3)
        let (calls, _, counters) = try await run { request in
            let isFirst = isForgotten.withLock { $0 }
            if request.call == third, isFirst {
                isForgotten.withLock { $0 = false }
                return .status(404, #"{"code":"not_found"}"#)
            }
            return .status(201, request.method == "POST" ? Self.receiving : "{}")
        }
        let all = ["POST /v1/bundles", put(1), put(2), put(3)]
        #expect(calls == all + all)
        #expect(counters.retries == ["not_found": 1])
        #expect(counters.acknowledged == 1)
    }

    @Test func givesUpABundleOfWhichAPartIsRefused() async throws {
        let second = put(2)
        let (calls, rig, counters) = try await run { request in
            if request.call == second { return .status(422, #"{"code":"archive_not_zip"}"#) }
            if request.method == "DELETE" { return .status(204) }
            return .status(201, Self.receiving)
        }
        #expect(calls == ["POST /v1/bundles", put(1), put(2), "DELETE /v1/bundles/\(id)"])
        #expect(rig.ledger[0].refused == ["archive_not_zip"])
        #expect(counters.refused == 1)
        #expect(counters.acknowledged == 0)
    }

    @Test func theRunWaitsForTheAnswerToGivingUp() async throws {
        let server = try await FakeServer.start { request in
            if request.method == "PUT" { return .status(422, #"{"code":"archive_not_zip"}"#) }
            return request.method == "DELETE" ? .hold : .status(201, Self.receiving)
        }
        let rig = try TrafficRig(
            server, plan: TrafficRig.plan(), source: FakeSource { _ in 3 })
        async let running = rig.runAndClose()
        try await until { server.held.count == 1 }
        // Several ticks of the devices' clock.
        try await Task.sleep(for: .milliseconds(200))
        #expect(server.openConnections > 0)
        server.release { _ in .status(204) }
        let counters = try await running
        #expect(counters.refused == 1)
        try await server.stop()
    }

    @Test func isCutInThePartThatTheShareFallsInto() async throws {
        let (calls, _, counters) = try await run(
            { .status(201, $0.method == "POST" ? Self.receiving : "{}") }, cut: .within(0.66))
        #expect(calls.filter { $0.hasPrefix("cut") } == ["cut \(put(2))"])
        #expect(counters.cuts == 1)
        #expect(counters.acknowledged == 1)
    }
}
