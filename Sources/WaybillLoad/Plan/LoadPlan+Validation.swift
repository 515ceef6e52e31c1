internal import WaybillModel

extension LoadPlan {
    package static let devicesMax = 10_000
    package static let transactionsMax = 100_000

    /// - Throws: all problems at once.
    package func validate() throws(LoadPlanError) {
        var problems = Problems()
        problems.check((1...Self.devicesMax).contains(devices), "devices is 1 to 10,000")
        problems.check(TenantSlug(tenant) != nil, "tenant is no tenant's name")
        problems.check((1...4096).contains(connections), "connections is 1 to 4096")
        problems.check((1...10_000).contains(readers), "readers is 1 to 10,000")
        problems.check(warmupSeconds >= 0, "warmup_seconds is at least 0")
        problems.check(settleSeconds >= 0, "settle_seconds is at least 0")
        problems.check((0...1).contains(resumableShare), "resumable_share is 0 to 1")
        problems.check((0...1).contains(binaryShare), "binary_share is 0 to 1")
        problems.check((listeners ?? 0) >= 0, "listeners is at least 0")
        checkLength(&problems)
        checkMix(&problems)
        checkFaults(&problems)
        checkChaos(&problems)
        guard problems.found.isEmpty else { throw LoadPlanError(problems.found) }
    }

    private struct Problems {
        var found: [String] = []

        mutating func check(_ isGood: Bool, _ problem: String) {
            if !isGood { found.append(problem) }
        }
    }

    private func checkLength(_ problems: inout Problems) {
        problems.check(
            (durationSeconds == nil) != (bundles == nil),
            "one of duration_seconds and bundles ends the run: give one of them")
        problems.check((durationSeconds ?? 1) > 0, "duration_seconds is over 0")
        problems.check((bundles ?? 1) > 0, "bundles is at least 1")
        switch (arrivals.model, arrivals.rate) {
        case (.closed, nil): break
        case (.closed, _): problems.check(false, "the closed model has no rate")
        case (_, nil): problems.check(false, "the \(arrivals.model.rawValue) model needs a rate")
        case (_, let rate?):
            problems.check(
                rate > 0 && rate <= 1_000_000, "arrivals.rate is over 0 and at most 1,000,000")
        }
        problems.check(
            !sealsInAdvance || bundles != nil || arrivals.rate != nil,
            "seals_in_advance needs a number of bundles or a rate")
        problems.check(
            !holdsListeners || bundles != nil, "holds_listeners needs a number of bundles")
    }

    private func checkMix(_ problems: inout Problems) {
        problems.check(!mix.isEmpty, "mix names at least one kind of bundle")
        for (index, shape) in mix.enumerated() {
            let name = "mix[\(index)]"
            problems.check(shape.share > 0, "\(name).share is over 0")
            problems.check(
                (1...Self.transactionsMax).contains(shape.transactions),
                "\(name).transactions is 1 to 100,000")
            problems.check(
                shape.parts >= 1 && shape.parts <= min(1000, shape.transactions),
                "\(name).parts is 1 to 1000, and no part is without a transaction")
            problems.check(
                (120...900_000).contains(shape.payloadBytes),
                "\(name).payload_bytes is 120 to 900,000")
        }
    }

    private func checkFaults(_ problems: inout Problems) {
        let shares = [
            ("resent", faults.resent), ("repeated", faults.repeated),
            ("conflicting", faults.conflicting), ("bad_lines", faults.badLines),
            ("bad_bundles", faults.badBundles), ("cut", faults.cut),
        ]
        for (name, share) in shares {
            problems.check((0...1).contains(share), "faults.\(name) is 0 to 1")
        }
        problems.check(
            faults.repeated + faults.conflicting + faults.badLines <= 1,
            "faults.repeated, conflicting and bad_lines are at most 1 together")
    }

    private func checkChaos(_ problems: inout Problems) {
        for (index, step) in chaos.enumerated() {
            let name = "chaos[\(index)]"
            problems.check(step.atSeconds >= 0, "\(name).at_seconds is at least 0")
            problems.check((step.everySeconds ?? 1) > 0, "\(name).every_seconds is over 0")
            problems.check((step.seconds ?? 0) >= 0, "\(name).seconds is at least 0")
            problems.check(
                (step.action == .scale) == (step.count != nil),
                "\(name): scale needs a count, other actions have none")
            problems.check((0...256).contains(step.count ?? 0), "\(name).count is 0 to 256")
        }
    }
}
