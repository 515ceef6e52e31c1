import Synchronization
import Testing
import WaybillLoad
import WaybillModel

/// Bundles whose bytes tell their numbers.
final class FakeSource: BundleSource {
    private struct State {
        var withheld: Set<Int>
        var taken: [Int] = []
        var waiting: [Int: @Sendable () -> Void] = [:]
        var sealedAgain: [Int] = []
    }

    private let state: Mutex<State>
    private let parts: @Sendable (Int) -> Int

    init(withheld: Set<Int> = [], parts: @escaping @Sendable (Int) -> Int = { _ in 1 }) {
        state = Mutex(State(withheld: withheld))
        self.parts = parts
    }

    static func id(_ number: Int) -> BundleID { BundleID(high: 7, low: UInt64(number)) }

    static func text(_ number: Int, part: Int = 0) -> String {
        "bundle \(number) part \(part) " + String(repeating: "z", count: 40 + number % 7)
    }

    func bundle(_ number: Int) -> SealedBundle {
        let parts = (0..<parts(number)).map { Array(Self.text(number, part: $0).utf8) }
        let digests = parts.map { Digest256.of($0) }
        return SealedBundle(
            number: number, id: Self.id(number), parts: parts, partDigests: digests,
            digest: .ofBundle(parts: digests))
    }

    func take(_ number: Int) -> SealedBundle? {
        let isThere = state.withLock { state in
            guard !state.withheld.contains(number) else { return false }
            state.taken.append(number)
            return true
        }
        return isThere ? bundle(number) : nil
    }

    func whenReady(_ number: Int, _ call: @escaping @Sendable () -> Void) {
        state.withLock { $0.waiting[number] = call }
    }

    func sealAgain(_ number: Int, _ done: @escaping @Sendable (SealedBundle?) -> Void) {
        state.withLock { $0.sealedAgain.append(number) }
        done(bundle(number))
    }

    var waiting: [Int] { state.withLock { $0.waiting.keys.sorted() } }
    var taken: [Int] { state.withLock { $0.taken } }
    var sealedAgain: [Int] { state.withLock { $0.sealedAgain } }

    func feed(_ number: Int) {
        let call = state.withLock { state in
            state.withheld.remove(number)
            return state.waiting.removeValue(forKey: number)
        }
        call?()
    }
}

struct FakeRecipes: RecipeSource {
    var devices: Int
    var resend: [Int: BundleRecipe.Resend] = [:]
    var cut: [Int: BundleRecipe.Cut] = [:]
    var isResumable = false

    func recipe(_ number: Int) -> BundleRecipe {
        BundleRecipe(
            number: number, device: number % devices, sequence: Int64(number / devices) + 1,
            shape: 0, resend: resend[number], cut: cut[number],
            isResumable: isResumable)
    }
}

/// Writes down what it is told.
final class FakeLedger: TrafficLedger {
    struct Entry: Sendable {
        var intended: Int64?
        var digest: Digest256?
        var sent: [Int64] = []
        var acknowledged: [Int64] = []
        var refused: [String] = []
        var receipts: [Int64] = []
    }

    private let entries = Mutex<[Int: Entry]>([:])

    private func change(_ number: Int, _ body: (inout Entry) -> Void) {
        entries.withLock { body(&$0[number, default: Entry()]) }
    }

    func planned(_ number: Int, intended: Int64) { change(number) { $0.intended = intended } }
    func sealed(_ number: Int, digest: Digest256) { change(number) { $0.digest = digest } }
    func sent(_ number: Int, at time: Int64) { change(number) { $0.sent.append(time) } }
    func acknowledged(_ number: Int, at time: Int64) {
        change(number) { $0.acknowledged.append(time) }
    }
    func refused(_ number: Int, code: String, at time: Int64) {
        change(number) { $0.refused.append(code) }
    }
    func lastSequence(device: Int) -> Int64 { 0 }

    func receipt(device: Int, bytes: ArraySlice<UInt8>, at time: Int64) -> ReadReceipt? {
        guard let text = AnswerText.string(of: "bundle_id", in: bytes), let id = BundleID(text),
            let sequence = AnswerText.integer(of: "seq", in: bytes)
        else { return nil }
        let number = Int(id.low)
        change(number) { $0.receipts.append(time) }
        let entry = self[number]
        return ReadReceipt(
            number: number, sequence: sequence, isFirst: entry.receipts.count == 1,
            isSettled: true, counts: OutcomeCounts(accepted: 2), intended: entry.intended ?? 0,
            firstSent: entry.sent.first ?? 0)
    }

    subscript(number: Int) -> Entry { entries.withLock { $0[number] ?? Entry() } }
    var numbers: [Int] { entries.withLock { $0.keys.sorted() } }
    var planned: [Int] { entries.withLock { $0.filter { $1.intended != nil }.keys.sorted() } }
}

/// What a device's server does, as far as the traffic can tell: receives, settles at once, tells.
final class FakeAPI: Sendable {
    private let receipts = Mutex<[String: [String]]>([:])

    /// The number of the bundle that an upload is about.
    static func number(_ request: FakeRequest) -> Int? {
        let key = request.fields["idempotency-key"]?.filter { $0 != "\"" }
        let inPath = request.path.split(separator: "/").dropFirst(2).first.map(String.init)
        let declared = AnswerText.string(of: "bundle_id", in: request.body[...])
        return [key, inPath, declared].compactMap(\.self).compactMap { BundleID($0) }.first
            .map { Int($0.low) }
    }

    func settle(_ number: Int, token: String) {
        receipts.withLock { receipts in
            let sequence = receipts[token, default: []].count + 1
            receipts[token, default: []].append(
                #"{"seq":\#(sequence),"bundle_id":"\#(FakeSource.id(number))","#
                    + #""settled_at":"2099-01-01T00:00:00.000000Z"}"#)
        }
    }

    func answer(_ request: FakeRequest) -> FakeAnswer {
        switch request.call {
        case "POST /v1/bundles":
            if let number = Self.number(request) { settle(number, token: request.token) }
            return .status(202, #"{"state":"queued"}"#)
        case "GET /v1/receipts":
            let after = request.target.split(separator: "after=").last?
                .prefix { $0 != "&" }
            let all = receipts.withLock { $0[request.token] ?? [] }
            let new = all.dropFirst(after.flatMap { Int($0) } ?? 0)
            return .status(
                200, #"{"receipts":[\#(new.joined(separator: ","))],"last":\#(all.count)}"#)
        case "POST /v1/receipts/confirm": return .status(204)
        default: return .status(404, #"{"code":"not_found"}"#)
        }
    }
}

/// A traffic with its fakes; waits are so short that a test does not notice them.
struct TrafficRig {
    let traffic: Traffic
    let ledger = FakeLedger()
    let source: FakeSource

    init(
        _ server: FakeServer, plan: LoadPlan, source: FakeSource = FakeSource(),
        recipes: FakeRecipes? = nil, tls: TrafficTLS? = nil, loops: Int = 1,
        change: (inout TrafficOptions) -> Void = { _ in }
    ) throws {
        var options = TrafficOptions()
        options.loops = loops
        options.retry.baseSeconds = 0.001
        options.retry.ceilingSeconds = 0.01
        options.retry.retryAfterSecondsMax = 0.001
        options.readIntervalSeconds = 0.001
        options.pollSeconds = 0
        change(&options)
        self.source = source
        let slug = try #require(TenantSlug("load"))
        let devices = (0..<plan.devices).map { index in
            LoadDevice(
                deviceID: DeviceID(high: 1, low: UInt64(index)), tenant: slug, epoch: 1,
                token: "token-\(index)", secret: [], baseURL: server.url)
        }
        let recipes = recipes ?? FakeRecipes(devices: plan.devices)
        traffic = try Traffic(
            plan: plan, devices: devices,
            ports: TrafficPorts(recipes: recipes, source: source, ledger: ledger),
            clock: RunClock(), tls: tls, options: options)
    }

    static func plan(
        devices: Int = 1, bundles: Int? = 1, connections: Int = 1,
        _ change: (inout LoadPlan) -> Void = { _ in }
    ) -> LoadPlan {
        var plan = LoadPlan()
        plan.devices = devices
        plan.bundles = bundles
        plan.connections = connections
        plan.readers = 2
        change(&plan)
        return plan
    }

    /// Runs to the end and tells what was counted; ends all connections.
    func runAndClose() async throws -> TrafficCounters {
        try await traffic.run()
        return try await close()
    }

    func close() async throws -> TrafficCounters {
        let counters = try await traffic.counters()
        try await traffic.close()
        return counters
    }
}

/// Waits until it is so.
func until(_ condition: @Sendable () -> Bool) async throws {
    while !condition() { try await Task.sleep(for: .milliseconds(1)) }
}
