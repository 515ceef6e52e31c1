internal import Synchronization
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Decides whether bundles are taken at all, by the disk's room, the backlog and the operator's word.
///
/// Asked before a body is read. Settling never asks it: what is here goes on its way.
package final class IntakeGate: Sendable {
    /// Where the intake closes; 0 switches a rule off.
    package struct Options: Sendable, Equatable {
        /// Free bytes of the disk; nil stands for the smaller of 1 GiB and a twentieth of the disk.
        package var diskFreeFloor: Int?
        /// Unsettled bundles.
        package var bundlesMax = 0
        /// Bytes of their parts.
        package var bytesMax = 0
        /// For how long a measurement of the disk counts.
        package var sampleInterval = Duration.milliseconds(250)

        package init(diskFreeFloor: Int? = nil, bundlesMax: Int = 0, bytesMax: Int = 0) {
            self.diskFreeFloor = diskFreeFloor
            self.bundlesMax = bundlesMax
            self.bytesMax = bytesMax
        }
    }

    private let state: Mutex<IntakeState>
    private let diskFree: @Sendable () -> (free: Int, total: Int)
    private let backlog: @Sendable () -> (bundles: Int, bytes: Int)

    /// - Parameters:
    ///   - diskFree: bytes for the asking user, and of the whole file system.
    ///   - backlog: what is not settled yet; asked each time, so it has to be cheap.
    package init(
        options: Options, diskFree: @escaping @Sendable () -> (free: Int, total: Int),
        backlog: @escaping @Sendable () -> (bundles: Int, bytes: Int)
    ) {
        state = Mutex(IntakeState(options: options))
        self.diskFree = diskFree
        self.backlog = backlog
    }

    /// A gate that is never closed but by ``setDraining(_:)``.
    package static var alwaysOpen: IntakeGate {
        IntakeGate(
            options: Options(diskFreeFloor: 0), diskFree: { (.max, .max) }, backlog: { (0, 0) })
    }

    /// Measures the disk at most once in an interval; costs two locks and a clock otherwise.
    ///
    /// - Throws: ``UploadError/diskFull``, ``UploadError/backlogFull``, ``UploadError/draining``: to
    ///   be tried again later.
    package func check() throws(UploadError) {
        let refusal = state.withLock { state -> IntakeState.Refusal? in
            let now = Deadline.now
            if state.wantsSample(at: now) {
                let disk = diskFree()
                state.take(free: disk.free, total: disk.total, at: now)
            }
            let waiting = backlog()
            state.take(bundles: waiting.bundles, bytes: waiting.bytes)
            return state.refusal
        }
        switch refusal {
        case nil: return
        case .diskFull: throw .diskFull
        case .backlogFull: throw .backlogFull
        case .draining: throw .draining
        }
    }

    /// Whether nothing new is taken until an operator says otherwise; a restart ends it.
    package var isDraining: Bool { state.withLock { $0.isDraining } }

    package func setDraining(_ isDraining: Bool) {
        state.withLock { $0.isDraining = isDraining }
    }

    /// Free and all bytes of the file system that holds `path`; the most there can be when it does
    /// not say, for a gate must not close on a failed question.
    package static func room(at path: String) -> (free: Int, total: Int) {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return (.max, .max) }
        let unit = Int(clamping: status.f_frsize)
        return (
            multiplied(unit, Int(clamping: status.f_bavail)),
            multiplied(unit, Int(clamping: status.f_blocks))
        )
    }

    private static func multiplied(_ left: Int, _ right: Int) -> Int {
        let product = left.multipliedReportingOverflow(by: right)
        return product.overflow ? .max : product.partialValue
    }
}

/// The gate's rules, with hysteresis and time passed in.
struct IntakeState {
    enum Refusal: Sendable, Equatable {
        case diskFull
        case backlogFull
        case draining
    }

    private let options: IntakeGate.Options
    private var nextSample = Deadline(nanoseconds: 0)
    private var isDiskFull = false
    private var isBacklogFull = false
    var isDraining = false

    init(options: IntakeGate.Options) {
        self.options = options
    }

    func wantsSample(at now: Deadline) -> Bool { nextSample <= now }

    /// Takes a measurement of the disk, in bytes.
    mutating func take(free: Int, total: Int, at now: Deadline) {
        nextSample = now.advanced(by: options.sampleInterval)
        let floor = options.diskFreeFloor ?? min(1 << 30, total / 20)
        // Closed below the floor, open again a tenth above it.
        isDiskFull = free < (isDiskFull ? floor + floor / 10 : floor)
    }

    /// Takes what is not settled now.
    mutating func take(bundles: Int, bytes: Int) {
        isBacklogFull = isOver(bundles, options.bundlesMax) || isOver(bytes, options.bytesMax)
    }

    var refusal: Refusal? {
        if isDraining { return .draining }
        if isDiskFull { return .diskFull }
        return isBacklogFull ? .backlogFull : nil
    }

    /// Closed when the ceiling is reached, open again a tenth below it, at one below it at most.
    private func isOver(_ value: Int, _ ceiling: Int) -> Bool {
        guard ceiling > 0 else { return false }
        let tenth = (ceiling - 1) / 10 + 1
        return isBacklogFull ? value > ceiling - tenth : value >= ceiling
    }
}
