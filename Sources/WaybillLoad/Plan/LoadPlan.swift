/// What a load run does: saved and loaded as YAML, kept in the report.
///
/// Shares are 0 to 1. Everything random comes from ``seed``, so that a run can be repeated and what
/// was sent can be made again instead of being kept.
package struct LoadPlan: Codable, Sendable, Equatable {
    /// Simulated devices, 1 to 10,000.
    package var devices = 100
    package var tenant = "load"
    package var arrivals = Arrivals()
    /// Connections that upload; a device has at most one upload in progress.
    package var connections = 32
    /// Connections that wait for receipts.
    package var readers = 64
    /// Before the measured time; sent and audited like the rest, but in no figure.
    package var warmupSeconds = 0.0
    /// The measured time; nil where ``bundles`` ends the run.
    package var durationSeconds: Double?
    /// How many bundles are sent in all; nil where ``durationSeconds`` ends the run.
    package var bundles: Int?
    /// Kinds of bundles; their shares are taken relative to each other.
    package var mix: [BundleShape] = [BundleShape()]
    package var faults = FaultShares()
    package var compression = Compression.deflated
    /// Of bundles whose parts go as resumable uploads: what a cut leaves is gone on with.
    package var resumableShare = 0.0
    /// Transactions that carry a body instead of a payload.
    package var binaryShare = 0.0
    package var identifiers = IdentifierOrder.ordered
    package var seed: UInt64 = 1
    /// Seal everything before the first upload; needs ``bundles`` or a rate.
    package var sealsInAdvance = false
    /// Listeners stand still until everything is acknowledged, so that settling is measured alone.
    package var holdsListeners = false
    /// Set at the start; nil leaves the server's.
    package var listeners: Int?
    /// How long receipts may take after the last upload.
    package var settleSeconds = 120.0
    /// A bundle settled later than this after its acknowledgement counts as late; nil: none does.
    package var lateSeconds: Double?
    /// `settle_p99<2s`, `lost==0`, …
    package var objectives: [String] = []
    package var chaos: [ChaosStep] = []

    package init() {}

    /// When bundles are due.
    package struct Arrivals: Codable, Sendable, Equatable {
        package enum Model: String, Codable, Sendable, CaseIterable {
            /// As soon as a connection is free.
            case closed
            /// At equal intervals, whether or not the server keeps up.
            case constant
            /// Independent of each other, with that mean rate.
            case poisson
        }

        package var model = Model.closed
        /// Bundles per second; nil in the closed model.
        package var rate: Double?

        package init(model: Model = .closed, rate: Double? = nil) {
            self.model = model
            self.rate = rate
        }
    }

    /// One kind of bundle.
    package struct BundleShape: Codable, Sendable, Equatable {
        package var share = 1.0
        /// In the whole bundle, 1 to 100,000.
        package var transactions = 10
        /// One is sent whole in one request, more are declared.
        package var parts = 1
        /// Length of a payload's text, or of a body's bytes; at least 120.
        package var payloadBytes = 250

        package init(
            share: Double = 1, transactions: Int = 10, parts: Int = 1, payloadBytes: Int = 250
        ) {
            self.share = share
            self.transactions = transactions
            self.parts = parts
            self.payloadBytes = payloadBytes
        }
    }

    /// What goes wrong on purpose.
    package struct FaultShares: Codable, Sendable, Equatable {
        /// Of bundles that are sent again after their acknowledgement.
        package var resent = 0.0
        /// Of transactions that were sent before, unchanged (duplicate).
        package var repeated = 0.0
        /// Of transactions whose id was sent before with other content (conflict).
        package var conflicting = 0.0
        /// Of lines that are no valid transaction (rejected).
        package var badLines = 0.0
        /// Of bundles that cannot be opened or are not what they say (quarantined), or are refused.
        package var badBundles = 0.0
        /// Of uploads whose connection is cut somewhere in the request or before the answer.
        package var cut = 0.0

        package init() {}
    }

    package enum Compression: String, Codable, Sendable, CaseIterable {
        case stored, deflated
    }

    package enum IdentifierOrder: String, Codable, Sendable, CaseIterable {
        /// Ascending, as version 7 of RFC 9562 makes them.
        case ordered
        /// Without order, as version 4 makes them.
        case scattered
    }

    /// Something that happens to the server while it is under load.
    package struct ChaosStep: Codable, Sendable, Equatable {
        /// After the measured time's start.
        package var atSeconds: Double
        /// Repeats at this interval until the measured time ends; nil: once.
        package var everySeconds: Double?
        package var action: Action

        package enum Action: String, Codable, Sendable, CaseIterable {
            /// SIGKILL, and a start right after.
            case killServer = "kill-server"
            /// SIGTERM, and a start right after.
            case restartServer = "restart-server"
            /// SIGKILL to the server's own PostgreSQL; it stays away for ``ChaosStep/seconds``.
            case killPostgres = "kill-postgres"
            /// ``ChaosStep/count`` listeners from now on.
            case scale
            /// Leaves no free space on the data directory's file system for ``ChaosStep/seconds``.
            case fillDisk = "fill-disk"
            /// Phone networks for ``ChaosStep/seconds``.
            case edge, lossy, tunnel
        }

        /// How long it lasts; each action has a default.
        package var seconds: Double?
        /// Listeners.
        package var count: Int?

        package init(
            atSeconds: Double, everySeconds: Double? = nil, action: Action, seconds: Double? = nil,
            count: Int? = nil
        ) {
            self.atSeconds = atSeconds
            self.everySeconds = everySeconds
            self.action = action
            self.seconds = seconds
            self.count = count
        }

        enum CodingKeys: String, CodingKey, CaseIterable {
            case action, seconds, count
            case atSeconds = "at_seconds"
            case everySeconds = "every_seconds"
        }
    }
}
