internal import Synchronization
internal import WaybillClient
internal import WaybillLoad
internal import WaybillModel

/// A week of flights through a running server, from enrolment to confirmed receipts.
struct DemoRun: Sendable {
    let admin: AdminClient
    let session: ClientSession
    /// Without `/v1`.
    let deviceURL: String
    let devicesAtOnce: Int
    static let listenersAtFirst = 2
    static let listenersLater = 6
    private static let invitationsMax = 100

    func run() async throws -> DemoReport {
        let fleet = Aircraft.fleet(try FlightsWeek.load())
        guard let tenant = TenantSlug("demo") else {
            throw CommandFailure(.failed, "demo is no name of a tenant")
        }
        try await createTenant(tenant)
        _ = try await admin.setListeners(target: Self.listenersAtFirst)
        let start = ContinuousClock.now
        let devices = try await enroll(fleet, tenant: tenant)
        let sent = try await upload(devices)
        let again = try await sendAgain(devices, sent)
        let book = ReceiptBook.self
        let keys = try await DeviceClient(baseURL: deviceURL, token: nil, session: session).keys()
        let tally = try await collect(devices, sent, book: try book.init(keys))
        return DemoReport(
            devices: devices.count, bundles: sent.joined().count, sentAgain: again,
            transactions: sent.joined().reduce(0) { $0 + $1.transactions },
            accepted: tally.accepted, duplicates: tally.duplicates,
            receiptsVerified: tally.receipts,
            rows: try await admin.transactionCount(tenant: tenant),
            seconds: (ContinuousClock.now - start).inSeconds)
    }

    private func createTenant(_ tenant: TenantSlug) async throws {
        do {
            _ = try await admin.createTenant(tenant)
        } catch {
            guard error.code == ProblemCode.alreadyExists.rawValue else { throw error }
            Console.note(
                "tenant \(tenant) exists already: flights sent before will count as duplicates")
        }
    }

    private func enroll(
        _ fleet: [Aircraft], tenant: TenantSlug
    ) async throws -> [DemoDevice] {
        var codes: [String] = []
        while codes.count < fleet.count {
            codes += try await admin.invite(
                tenant: tenant, count: min(Self.invitationsMax, fleet.count - codes.count)
            ).map(\.code)
        }
        let progress = ProgressLine("devices enrolled ", total: fleet.count)
        return try await mapConcurrently(
            Array(zip(fleet, codes)), atOnce: devicesAtOnce
        ) { aircraft, code in
            let device = try await DemoDevice.enroll(
                aircraft, code: code, baseURL: deviceURL, session: session)
            progress.advance()
            return device
        }
    }

    /// Each device's bundles, one after the other; many devices at once. Half way through, more
    /// listeners are asked for.
    private func upload(_ devices: [DemoDevice]) async throws -> [[SealedBundle]] {
        let total = devices.reduce(0) { $0 + $1.aircraft.days.count }
        let progress = ProgressLine("bundles uploaded ", total: total)
        return try await mapConcurrently(devices, atOnce: devicesAtOnce) { device in
            var sent: [SealedBundle] = []
            for (index, day) in device.aircraft.days.enumerated() {
                let bundle = try device.seal(
                    day: day.day, flights: day.flights, sequence: Int64(index + 1))
                try await device.upload(bundle)
                sent.append(bundle)
                if progress.advance() == total / 2 {
                    _ = try await admin.setListeners(target: Self.listenersLater)
                }
            }
            return sent
        }
    }

    /// Every tenth bundle once more, the same bytes; how many.
    private func sendAgain(
        _ devices: [DemoDevice], _ sent: [[SealedBundle]]
    ) async throws -> Int {
        var tenth: [(DemoDevice, SealedBundle)] = []
        for (number, pair) in zip(devices, sent).flatMap({ device, bundles in
            bundles.map { (device, $0) }
        }).enumerated() where number % 10 == 0 {
            tenth.append(pair)
        }
        let progress = ProgressLine("bundles sent again", total: tenth.count)
        _ = try await mapConcurrently(tenth, atOnce: devicesAtOnce) { device, bundle in
            try await device.upload(bundle)
            progress.advance()
        }
        return tenth.count
    }

    private func collect(
        _ devices: [DemoDevice], _ sent: [[SealedBundle]], book: ReceiptBook
    ) async throws -> DemoTally {
        let progress = ProgressLine("devices confirmed", total: devices.count)
        let tallies = try await mapConcurrently(
            Array(zip(devices, sent)), atOnce: devicesAtOnce
        ) { device, bundles in
            let tally = try await device.collectReceipts(of: bundles, book: book)
            progress.advance()
            return tally
        }
        return tallies.reduce(into: DemoTally()) { sum, tally in
            sum.receipts += tally.receipts
            sum.accepted += tally.accepted
            sum.duplicates += tally.duplicates
        }
    }
}

extension Duration {
    var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
