internal import Yams

/// A plan that cannot be read or cannot be run.
package struct LoadPlanError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One sentence each; never empty.
    package let problems: [String]

    package init(_ problems: [String]) {
        self.problems = problems
    }

    package var description: String { problems.joined(separator: "; ") }
}

extension LoadPlan {
    /// Reads YAML or JSON; what is not there keeps its default.
    ///
    /// - Parameter isWhole: false for a plan that more is added to: it need not be one that can be run.
    package init(yaml text: String, isWhole: Bool = true) throws(LoadPlanError) {
        do {
            self = try YAMLDecoder().decode(LoadPlan.self, from: text.isEmpty ? "{}" : text)
        } catch {
            throw LoadPlanError(["the plan is not understood: \(Self.words(for: error))"])
        }
        if isWhole { try validate() }
    }

    /// All members, defaults included.
    package func yaml() throws(LoadPlanError) -> String {
        do {
            let encoder = YAMLEncoder()
            encoder.options.sortKeys = true
            return try encoder.encode(self)
        } catch {
            throw LoadPlanError(["the plan cannot be written: \(error)"])
        }
    }

    private static func words(for error: any Error) -> String {
        func path(_ context: DecodingError.Context) -> String {
            let names = context.codingPath.map(\.stringValue).filter { !$0.isEmpty }
            return names.isEmpty ? "" : "at \(names.joined(separator: ".")): "
        }
        switch error {
        case DecodingError.dataCorrupted(let context):
            let cause = context.underlyingError.map { ": \($0)" } ?? ""
            return path(context) + context.debugDescription + cause
        case DecodingError.keyNotFound(let key, let context):
            return path(context) + "\(key.stringValue) is missing"
        case DecodingError.typeMismatch(_, let context),
            DecodingError.valueNotFound(_, let context):
            return path(context) + context.debugDescription
        default: return "\(error)"
        }
    }
}

extension LoadPlan {
    enum CodingKeys: String, CodingKey, CaseIterable {
        case devices, tenant, arrivals, connections, readers, bundles, mix, faults, compression
        case identifiers, seed, listeners, objectives, chaos
        case warmupSeconds = "warmup_seconds"
        case durationSeconds = "duration_seconds"
        case resumableShare = "resumable_share"
        case binaryShare = "binary_share"
        case sealsInAdvance = "seals_in_advance"
        case holdsListeners = "holds_listeners"
        case settleSeconds = "settle_seconds"
        case lateSeconds = "late_seconds"
    }

    package init(from decoder: any Decoder) throws {
        self.init()
        let members = try StrictMembers(decoder, CodingKeys.self)
        try members.read(.devices, into: &devices)
        try members.read(.tenant, into: &tenant)
        try members.read(.arrivals, into: &arrivals)
        try members.read(.connections, into: &connections)
        try members.read(.readers, into: &readers)
        try members.read(.warmupSeconds, into: &warmupSeconds)
        try members.read(.durationSeconds, into: &durationSeconds)
        try members.read(.bundles, into: &bundles)
        try members.read(.mix, into: &mix)
        try members.read(.faults, into: &faults)
        try members.read(.compression, into: &compression)
        try members.read(.resumableShare, into: &resumableShare)
        try members.read(.binaryShare, into: &binaryShare)
        try members.read(.identifiers, into: &identifiers)
        try members.read(.seed, into: &seed)
        try members.read(.sealsInAdvance, into: &sealsInAdvance)
        try members.read(.holdsListeners, into: &holdsListeners)
        try members.read(.listeners, into: &listeners)
        try members.read(.settleSeconds, into: &settleSeconds)
        try members.read(.lateSeconds, into: &lateSeconds)
        try members.read(.objectives, into: &objectives)
        try members.read(.chaos, into: &chaos)
    }
}

extension LoadPlan.Arrivals {
    enum CodingKeys: String, CodingKey, CaseIterable {
        case model, rate
    }

    package init(from decoder: any Decoder) throws {
        self.init()
        let members = try StrictMembers(decoder, CodingKeys.self)
        try members.read(.model, into: &model)
        try members.read(.rate, into: &rate)
    }
}

extension LoadPlan.BundleShape {
    enum CodingKeys: String, CodingKey, CaseIterable {
        case share, transactions, parts
        case payloadBytes = "payload_bytes"
    }

    package init(from decoder: any Decoder) throws {
        self.init()
        let members = try StrictMembers(decoder, CodingKeys.self)
        try members.read(.share, into: &share)
        try members.read(.transactions, into: &transactions)
        try members.read(.parts, into: &parts)
        try members.read(.payloadBytes, into: &payloadBytes)
    }
}

extension LoadPlan.FaultShares {
    enum CodingKeys: String, CodingKey, CaseIterable {
        case resent, repeated, conflicting, cut
        case badLines = "bad_lines"
        case badBundles = "bad_bundles"
    }

    package init(from decoder: any Decoder) throws {
        self.init()
        let members = try StrictMembers(decoder, CodingKeys.self)
        try members.read(.resent, into: &resent)
        try members.read(.repeated, into: &repeated)
        try members.read(.conflicting, into: &conflicting)
        try members.read(.badLines, into: &badLines)
        try members.read(.badBundles, into: &badBundles)
        try members.read(.cut, into: &cut)
    }
}

extension LoadPlan.ChaosStep {
    package init(from decoder: any Decoder) throws {
        let members = try StrictMembers(decoder, CodingKeys.self)
        self.init(
            atSeconds: try members.require(.atSeconds), action: try members.require(.action))
        try members.read(.everySeconds, into: &everySeconds)
        try members.read(.seconds, into: &seconds)
        try members.read(.count, into: &count)
    }
}
