/// What a run is doing, for the person who watches.
package struct LoadProgress: Sendable {
    package enum Phase: Sendable, Equatable {
        case startingServer, enrolling, sealing, warmingUp, measuring
        /// Waiting for what is still in the queue.
        case settling
        case auditing

        package var words: String {
            switch self {
            case .startingServer: "starting a server"
            case .enrolling: "enrolling devices"
            case .sealing: "sealing bundles"
            case .warmingUp: "warming up"
            case .measuring: "measuring"
            case .settling: "waiting for receipts"
            case .auditing: "auditing"
            }
        }
    }

    package var phase: Phase
    /// Of the phase, 0 to 1; nil where its end is not known.
    package var share: Double?
    /// The last second's; nil in phases without load.
    package var sample: LoadReport.Sample?
    /// Answers and broken connections so far that made a device try again.
    package var errors = 0

    package init(phase: Phase, share: Double? = nil) {
        self.phase = phase
        self.share = share
    }
}
