internal import DequeModule
internal import NIOCore
internal import WaybillModel

/// A simulated device while it sends and reads; belongs to one event loop.
final class DeviceSlot {
    /// In the run.
    let index: Int
    let heads: RequestHeads

    /// What it is sending, or waits to send; at most one.
    var job: UploadJob?
    /// What comes after it, in order.
    var line: Deque<UploadJob> = []
    /// Since when it could send the next one.
    var freeSince: Int64 = 0

    enum Reading {
        /// It has nothing to wait for.
        case none
        /// For a reader.
        case queued
        case polling
        /// For the time to try again.
        case pausing
    }

    var reading = Reading.none
    var polledAt = Int64.min / 2
    /// Failed polls in a row.
    var readTries = 0
    /// Acknowledged bundles without a receipt, in the order of their acknowledgements.
    var open: Deque<OpenBundle> = []
    /// The highest receipt number that it has.
    var after: Int64
    var confirmed: Int64
    var lastLossCheck: Int64 = 0
    /// Whether it was asked once more after its last receipt.
    var isSwept = false

    init(index: Int, heads: RequestHeads, after: Int64) {
        self.index = index
        self.heads = heads
        self.after = after
        confirmed = after
    }
}

/// What a device waits a receipt for.
struct OpenBundle {
    let number: Int
    let id: BundleID
    let acknowledgedAt: Int64
    /// Whether it is on its way a second time because the server has lost it.
    var isSentAgain = false
}

/// One bundle on its way.
final class UploadJob {
    enum Reason {
        case first
        /// Acknowledged before; the same bytes once more.
        case repetition
        /// The server has lost it.
        case loss
    }

    enum Step: Equatable {
        case whole, declare
        /// A part, from 0.
        case part(Int)
        /// Begin the resumable upload of a bundle of one part, without a byte.
        case begin
        /// Ask how far the uploads have come.
        case ask
        /// The rest of a part, from 0, from that byte on.
        case rest(Int, offset: Int)
        /// Take back a declared bundle of which a part was refused.
        case giveUp
    }

    let number: Int
    let device: DeviceSlot
    var reason: Reason
    /// Nil until it was taken, and again if it had to wait too long.
    var bundle: SealedBundle?
    let resend: BundleRecipe.Resend?
    /// Until the first try.
    var cut: BundleRecipe.Cut?
    /// `Int64.min` until it is due, in the closed model.
    var intended: Int64
    var firstSent: Int64?
    /// Failed tries in a row.
    var tries = 0
    var step = Step.whole
    /// Of the declared parts.
    var missing: [Int] = []
    let isResumable: Bool
    /// What the server has said of each part: never less later on.
    var told: [Int: Int] = [:]
    /// The receipt came before the answer.
    var hasReceipt = false
    /// Until the next try.
    var pause: Scheduled<Void>?

    init(number: Int, device: DeviceSlot, reason: Reason, intended: Int64?, recipe: BundleRecipe) {
        self.number = number
        self.device = device
        self.reason = reason
        self.intended = intended ?? .min
        resend = recipe.resend
        cut = reason == .first ? recipe.cut : nil
        isResumable = recipe.isResumable && reason == .first
    }

    var isPlanned: Bool { intended != .min }

    func setBundle(_ bundle: SealedBundle) {
        self.bundle = bundle
        rewind()
    }

    /// Begins with the bundle's first request again.
    func rewind() {
        step =
            bundle?.parts.count != 1 ? .declare : isResumable && reason == .first ? .begin : .whole
    }

    /// After trouble: a part may have come, or some of it.
    func lookBack() {
        switch step {
        case .part: step = .declare
        case .rest, .begin: step = .ask
        case .whole, .declare, .ask, .giveUp: break
        }
    }
}
