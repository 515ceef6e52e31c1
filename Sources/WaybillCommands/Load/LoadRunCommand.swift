internal import ArgumentParser
internal import Foundation
internal import WaybillClient
internal import WaybillLoad
internal import WaybillModel

struct LoadRunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run a plan against a server.",
        discussion: """
            Without --server-url and --running, a server with a PostgreSQL of its own is started for \
            the run. Exits with 2 when an objective is not met or the audit finds a fault.
            """)

    @OptionGroup var planned: LoadPlanOptions
    @OptionGroup var target: LoadTargetOptions

    @Option(help: "Where report.json, report.csv, report.html and the ledger go.")
    var reportDir: String?

    @Option(help: "Keeps the devices (mode 0600), so that the next run need not enrol them.")
    var devicesFile: String?

    @Option(help: "Threads that seal bundles.")
    var sealers = 1

    @Option(help: "Event loops that send and read.")
    var loops = 1

    @Flag(help: "Look for the highest rate at which all objectives are met.")
    var findCapacity = false

    @Option(help: "Bundles a second of the search's first step.")
    var firstRate = 50.0

    @Option(help: "Seconds of each of the search's steps.")
    var stepSeconds = 20.0

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...64).contains(sealers), (1...64).contains(loops) else {
            throw ValidationError("--sealers and --loops are 1 to 64")
        }
        guard firstRate > 0, stepSeconds > 0 else {
            throw ValidationError("--first-rate and --step-seconds are over 0")
        }
    }

    func run() async throws {
        try await reporting {
            let plan = try planned.effectivePlan(
                findingCapacity: findCapacity ? (firstRate, stepSeconds) : nil)
            if target.startsServer {
                try ChaosGround(plan.chaos).enter(database: target.databaseUrl)
            }
            let progress = LoadProgressLine()
            let report: LoadReport? = try await Interruption.run {
                try await TemporaryDirectory.with(
                    prefix: String(OwnServer.folderPrefix.dropLast())
                ) { folder in
                    try await run(plan, folder: folder, progress)
                }
            }
            guard let report else { throw Interruption.Stopped() }
            progress.finish()
            try finish(report)
        }
    }

    private func run(
        _ plan: LoadPlan, folder: String, _ progress: LoadProgressLine
    ) async throws -> LoadReport {
        guard target.startsServer else {
            guard plan.chaos.isEmpty else {
                throw CommandFailure(
                    .usage,
                    "chaos is for a server that the run starts itself: leave out the address")
            }
            return try await load(plan, target.runningTarget(), folder: folder, progress)
        }
        progress.show(LoadProgress(phase: .startingServer))
        var options = OwnServer.Options(
            folder: folder, dataDirectory: target.dataDir ?? folder + "/data")
        options.databaseURL = target.databaseUrl
        options.settings = target.set
        options.usesTLS = target.tls
        return try await OwnServer.run(plan, options, note: { Console.note($0) }) { own in
            var loaded = LoadTarget(
                deviceURL: own.server.address?.deviceURL ?? "",
                operatorAddress: {
                    own.server.address.map { .init(url: $0.adminURL, token: $0.token) }
                })
            loaded.authorityFile = own.authority
            loaded.databaseURL = own.databaseURL
            loaded.gauge = own
            if let network = own.network { loaded.enterNetwork = { try network.enter() } }
            if !plan.chaos.isEmpty {
                loaded.chaos = { own.chaos(plan, time: $0, session: $1) }
            }
            return try await load(plan, loaded, folder: folder, progress)
        }
    }

    private func load(
        _ plan: LoadPlan, _ loaded: LoadTarget, folder: String, _ progress: LoadProgressLine
    ) async throws -> LoadReport {
        let run = { @Sendable (plan: LoadPlan) in
            var options = LoadRunOptions(directory: reportDir ?? folder)
            options.devicesFile = devicesFile ?? folder + "/devices.json"
            options.sealingThreads = sealers
            options.loops = loops
            return try await LoadRun(
                plan: plan, target: loaded, options: options, onProgress: { progress.show($0) }
            ).run()
        }
        if let reportDir {
            try FileManager.default.createDirectory(
                atPath: reportDir, withIntermediateDirectories: true)
        }
        guard findCapacity else { return try await run(plan) }
        return try await findCapacity(plan, run, progress)
    }

    private func findCapacity(
        _ plan: LoadPlan, _ run: (LoadPlan) async throws -> LoadReport,
        _ progress: LoadProgressLine
    ) async throws -> LoadReport {
        var search = CapacitySearch(firstRate: firstRate)
        var best: LoadReport?
        var last: LoadReport?
        while let rate = search.next {
            var step = plan
            step.arrivals.rate = rate
            let report = try await run(step)
            progress.finish()
            let isMet = report.isGood
            search.record(rate: rate, isMet: isMet)
            Console.note(
                "\(Self.rounded(rate)) bundles/s: "
                    + (isMet ? "all objectives met" : "not met: \(report.complaints)"))
            if isMet { best = report }
            last = report
            // More load does not make a fault of the audit go away.
            if !report.audit.isClean { break }
        }
        guard let report = best ?? last else {
            throw CommandFailure(.failed, "no step was run")
        }
        Console.note(
            search.bestGood.map { "capacity: \(Self.rounded($0)) bundles/s" }
                ?? "no rate was found at which all objectives are met")
        return report
    }

    private static func rounded(_ rate: Double) -> String {
        rate < 100 ? String(format: "%.1f", rate) : String(format: "%.0f", rate)
    }

    private func finish(_ report: LoadReport) throws {
        if let reportDir {
            try ReportFile.write(
                String(decoding: try report.json(), as: UTF8.self), to: reportDir + "/report.json")
            try ReportFile.write(report.csv, to: reportDir + "/report.csv")
            try ReportFile.write(report.html, to: reportDir + "/report.html")
            Console.note("reports: report.json, report.csv and report.html in \(reportDir)")
        }
        var shown = report
        shown.series = []
        try output.show(shown) { LoadSummary(report: report).text }
        guard report.isGood else { throw CommandFailure(.checkNotMet, report.complaints) }
    }
}

extension LoadReport {
    /// The audit found nothing, and all objectives are met.
    var isGood: Bool { audit.isClean && objectives.allSatisfy(\.isMet) }

    /// What is not good, in one line.
    var complaints: String {
        var words: [String] = []
        for kind in Finding.Kind.allCases where audit.count(kind) > 0 {
            words.append("\(audit.count(kind)) \(kind.rawValue.replacing("_", with: " "))")
        }
        words += objectives.filter { !$0.isMet }.map { verdict in
            "\(verdict.objective) (\(verdict.measured.map { "\($0)" } ?? "not measured"))"
        }
        return words.joined(separator: ", ")
    }
}
