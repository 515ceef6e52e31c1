internal import ArgumentParser
internal import Foundation
internal import WaybillLoad

/// A plan from a file, and single values on the command line that go before it.
struct LoadPlanOptions: ParsableArguments {
    @Option(
        help: "YAML file; `waybill load plan` prints one with all members. - is standard input.")
    var plan: String?

    @Option(help: "Simulated devices, 1 to 10,000.")
    var devices: Int?

    @Option(help: "The devices' tenant; it is made if it is not there.")
    var tenant: String?

    @Option(help: "closed (as soon as a connection is free), constant or poisson.")
    var arrivals: LoadPlan.Arrivals.Model?

    @Option(help: "Bundles a second of constant and poisson arrivals.")
    var rate: Double?

    @Option(help: "Connections that upload.")
    var connections: Int?

    @Option(help: "Connections that wait for receipts.")
    var readers: Int?

    @Option(help: "Seconds before the measured time.")
    var warmup: Double?

    @Option(help: "Measured seconds; ends the run.")
    var duration: Double?

    @Option(help: "Bundles in all; ends the run.")
    var bundles: Int?

    @Option(help: "Transactions in a bundle, in place of the plan's mix.")
    var transactions: Int?

    @Option(help: "Parts of a bundle, in place of the plan's mix.")
    var parts: Int?

    @Option(help: "Listeners to set at the start.")
    var listeners: Int?

    @Option(help: "Where everything random begins.")
    var seed: UInt64?

    @Option(help: "An objective, such as 'settle_p99<2s' or 'lost==0'; may be given often.")
    var slo: [String] = []

    /// The plan in effect; one with neither a number of bundles nor a duration takes 30 seconds.
    ///
    /// - Parameter findingCapacity: first rate and seconds of a search's steps, in place of the plan's.
    func effectivePlan(
        findingCapacity: (rate: Double, seconds: Double)? = nil
    ) throws -> LoadPlan {
        var loaded = LoadPlan()
        do {
            if let plan {
                loaded = try LoadPlan(
                    yaml: String(decoding: try InputFile.read(plan), as: UTF8.self),
                    isWhole: false)
            }
            apply(to: &loaded)
            if let findingCapacity {
                if loaded.arrivals.model == .closed { loaded.arrivals.model = .constant }
                loaded.arrivals.rate = findingCapacity.rate
                (loaded.bundles, loaded.durationSeconds) = (nil, findingCapacity.seconds)
                if loaded.objectives.isEmpty {
                    throw CommandFailure(.usage, "--find-capacity needs at least one --slo")
                }
            }
            if loaded.bundles == nil, loaded.durationSeconds == nil { loaded.durationSeconds = 30 }
            try loaded.validate()
            _ = try loaded.objectives.map(Objective.init)
        } catch let error as LoadPlanError {
            throw CommandFailure(.usage, error.description)
        } catch let error as ReportFault {
            throw CommandFailure(.usage, error.description)
        }
        return loaded
    }

    private func apply(to plan: inout LoadPlan) {
        if let devices { plan.devices = devices }
        if let tenant { plan.tenant = tenant }
        if let rate {
            plan.arrivals.rate = rate
            if plan.arrivals.model == .closed { plan.arrivals.model = .constant }
        }
        if let arrivals {
            plan.arrivals.model = arrivals
            if arrivals == .closed { plan.arrivals.rate = rate }
        }
        if let connections { plan.connections = connections }
        if let readers { plan.readers = readers }
        if let warmup { plan.warmupSeconds = warmup }
        if let duration {
            plan.durationSeconds = duration
            plan.bundles = bundles
        } else if let bundles {
            plan.bundles = bundles
            plan.durationSeconds = nil
        }
        if transactions != nil || parts != nil {
            var shape = plan.mix.first ?? LoadPlan.BundleShape()
            shape.share = 1
            if let transactions { shape.transactions = transactions }
            if let parts { shape.parts = parts }
            plan.mix = [shape]
        }
        if let listeners { plan.listeners = listeners }
        if let seed { plan.seed = seed }
        plan.objectives += slo
    }
}

extension LoadPlan.Arrivals.Model: ExpressibleByArgument {}
