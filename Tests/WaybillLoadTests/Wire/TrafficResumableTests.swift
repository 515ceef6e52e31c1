import Synchronization
import Testing
import WaybillModel

@testable import WaybillLoad

/// Parts that go as resumable uploads, and what a device does when one is cut off.
@Suite(.timeLimit(.minutes(1))) struct TrafficResumableTests {
    private let id = FakeSource.id(0).description

    /// A server that knows of a part so many bytes, or nothing of its bundle.
    private func script(knowing received: Int?) -> FakeServer.Script {
        { request in
            switch request.method {
            case "POST": return .status(201, #"{"state":"receiving","parts":[]}"#)
            case "GET":
                guard let received else { return .status(404, #"{"code":"not_found"}"#) }
                let parts = #"{"part":1,"received":\#(received),"complete":false}"#
                return .status(200, #"{"state":"receiving","parts":[\#(parts)]}"#)
            default: return .status(202, "{}")
            }
        }
    }

    private func run(
        _ script: @escaping FakeServer.Script, parts: Int = 1, cut: BundleRecipe.Cut? = nil
    ) async throws -> (calls: [String], rig: TrafficRig, counters: TrafficCounters) {
        let server = try await FakeServer.start(script: script)
        let rig = try TrafficRig(
            server, plan: TrafficRig.plan(), source: FakeSource { _ in parts },
            recipes: FakeRecipes(
                devices: 1, cut: cut.map { [0: $0] } ?? [:], isResumable: true))
        let counters = try await rig.runAndClose()
        try await until { cut == nil || server.requests.contains { !$0.isWhole } }
        try await server.stop()
        // The server may hear of a cut after the next connection's first request.
        let requests = server.requests
            .sorted { ($0.connection, $0.order) < ($1.connection, $1.order) }
        return (requests.map { $0.isWhole ? $0.call : "cut \($0.call)" }, rig, counters)
    }

    private var patch: String { "PATCH /v1/bundles/\(id)/parts/1" }
    private var ask: String { "GET /v1/bundles/\(id)" }

    @Test func beginsWithoutAByteAndThenSendsThePart() async throws {
        let (calls, _, counters) = try await run(script(knowing: nil))
        #expect(calls == ["POST /v1/bundles", patch])
        #expect(counters.acknowledged == 1)
    }

    @Test func asksHowFarItHasComeAfterACutAndGoesOn() async throws {
        let (calls, rig, counters) = try await run(
            script(knowing: 4), cut: .within(0.9))
        #expect(calls == ["POST /v1/bundles", "cut \(patch)", ask, patch])
        #expect(counters.acknowledged == 1 && counters.cuts == 1)
        #expect(rig.ledger[0].refused.isEmpty)
    }

    @Test func beginsAnewWhatTheServerDoesNotKnow() async throws {
        let (calls, _, counters) = try await run(
            script(knowing: nil), cut: .within(0.9))
        #expect(calls == ["POST /v1/bundles", "cut \(patch)", ask, "POST /v1/bundles", patch])
        #expect(counters.acknowledged == 1)
    }

    @Test func goesOnFromTheOffsetThatAConflictTells() async throws {
        let isFirst = Mutex(true)
        let (calls, _, counters) = try await run { request in
            guard request.method == "PATCH" else {
                return .status(201, #"{"state":"receiving","parts":[]}"#)
            }
            let wasFirst = isFirst.withLock { value in
                defer { value = false }
                return value
            }
            return wasFirst
                ? .status(409, #"{"code":"offset_conflict","expected-offset":3}"#)
                : .status(202, "{}")
        }
        #expect(calls == ["POST /v1/bundles", patch, patch])
        #expect(counters.acknowledged == 1)
    }

    @Test func anOffsetThatGoesBackEndsTheBundleAsRefused() async throws {
        let tells = Mutex([5, 4])
        let (_, rig, counters) = try await run { request in
            guard request.method == "PATCH" else {
                return .status(201, #"{"state":"receiving","parts":[]}"#)
            }
            let offset = tells.withLock { $0.isEmpty ? 4 : $0.removeFirst() }
            return .status(409, #"{"code":"offset_conflict","expected-offset":\#(offset)}"#)
        }
        #expect(rig.ledger[0].refused == ["offset_went_back"])
        #expect(counters.acknowledged == 0)
    }

    @Test func partsOfADeclaredBundleGoOnInTheSameWay() async throws {
        let (calls, _, counters) = try await run(
            { .status(201, $0.method == "POST" ? #"{"state":"receiving","parts":[]}"# : "{}") },
            parts: 3)
        let patches = (1...3).map { "PATCH /v1/bundles/\(id)/parts/\($0)" }
        #expect(calls == ["POST /v1/bundles"] + patches)
        #expect(counters.acknowledged == 1)
    }
}
