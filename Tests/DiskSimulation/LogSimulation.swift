internal import Logging
package import SegmentedLog
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// What a simulation found wrong; the seed makes it happen again.
package struct SimulationFailure: Error, CustomStringConvertible {
    package let seed: UInt64
    package let operation: Int
    package let what: String

    package init(seed: UInt64, operation: Int, what: String) {
        self.seed = seed
        self.operation = operation
        self.what = what
    }

    package var description: String { "seed \(seed), operation \(operation): \(what)" }
}

/// The same numbers for the same seed, on every machine (SplitMix64).
package struct SeededChance: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

/// One run of a log on a ``SimulatedDisk``, on one thread, beside a model of what it must hold.
///
/// After every opening: each acknowledged record is there, with its content, in order, once (control
/// records may come twice); nothing is there that was refused or that nobody appended; no fault is
/// reported, for none was planted.
package struct LogSimulation {
    private enum Fate: Equatable {
        /// Not answered: it may be found or not.
        case open
        case acknowledged
        case refused
    }

    private struct Offered {
        let payload: [UInt8]
        let isControl: Bool
        var fate = Fate.open
        var segment: UInt64?
        var position: RecordPosition?
        /// Its segment's deletion was asked for: it may be found or not.
        var isDeletable = false
    }

    private let seed: UInt64
    private let operations: Int
    private var chance: SeededChance
    package let disk = SimulatedDisk(capacity: 4 << 20)
    private let options: LogOptions
    /// What the log works on; the disk, or what stands between.
    package var fileSystem: any FileSystem
    private let checker: OrderChecker
    private var log: SegmentedLog?
    private var offered: [Offered] = []
    /// A segment that holds nothing but its header and a long manifest: without that much on the disk
    /// a log need not open.
    private static let leastRoom = 10 << 10
    /// Ids in the order of their acknowledgements.
    private var acknowledged: [Int] = []
    private let answers = Monitor<[(id: Int, result: Result<AppendedRecord, LogError>)]>([])
    package private(set) var operation = 0
    /// What the disk does wrong; the simulation adds to it.
    package var plan = SimulatedDisk.Plan()
    private var isFull = false

    package init(seed: UInt64, operations: Int = 200) throws {
        self.seed = seed
        self.operations = operations
        chance = SeededChance(seed: seed)
        checker = OrderChecker(disk)
        fileSystem = checker
        guard let key = MasterKey([UInt8](repeating: 7, count: 32)) else {
            throw SimulationFailure(seed: seed, operation: 0, what: "no key")
        }
        var options = LogOptions(directory: "/log", masterKey: key)
        options.segmentBytes = 16 << 10
        options.reserveBytes = 16 << 10
        options.gatheringInterval = .zero
        self.options = options
    }

    /// Runs all operations, and ends with a power cut and an opening.
    package mutating func run() throws {
        disk.setPlan(plan)
        try open()
        while operation < operations {
            operation += 1
            try operate()
        }
        try crash()
        log?.close()
    }

    private mutating func operate() throws {
        switch Int.random(in: 0..<100, using: &chance) {
        case 0..<62: try append()
        case 62..<68: try delete()
        case 68..<73: try read()
        case 73..<77:
            log?.close()
            try settleAnswers()
            try open()
        case 77..<80:
            disk.killProcess()
            try settleAnswers()
            try open()
        case 80..<82: try crash()
        case 82..<92:
            plan.powerCutAt = disk.counts.calls + Int.random(in: 1...25, using: &chance)
            disk.setPlan(plan)
        case 92..<94:
            plan.failingSyncs[disk.counts.syncs + 1] =
                Bool.random(using: &chance) ? .pagesStayReadable : .pagesAreReverted
            disk.setPlan(plan)
        case 94:
            plan.journalAbortsAt = disk.counts.syncs + Int.random(in: 1...3, using: &chance)
            disk.setPlan(plan)
        case 95:
            plan.failingWrites[disk.counts.writes + 1] = 5
            disk.setPlan(plan)
        case 96..<98:
            plan.shortWrites[disk.counts.writes + 1] = Int.random(in: 1...600, using: &chance)
            disk.setPlan(plan)
        default:
            isFull.toggle()
            if isFull { disk.fill() } else { disk.empty() }
        }
    }

    // MARK: Operations

    private mutating func append() throws {
        for _ in 0..<Int.random(in: 1...8, using: &chance) {
            let id = offered.count
            let isControl = Int.random(in: 0..<5, using: &chance) == 0
            let count = Int.random(in: 8...2500, using: &chance)
            let payload = Self.payload(id, count: count)
            offered.append(Offered(payload: payload, isControl: isControl))
            let answers = answers
            log?.append(
                type: isControl ? 2 : 1, payload: payload, recordClass: isControl ? .control : .bulk
            ) { result in
                answers.withLock { $0.append((id, result)) }
            }
        }
        log?.work()
        try settleAnswers()
        try crashIfDown()
    }

    private mutating func delete() throws {
        guard let log else { return }
        let closed = log.closedSegments
        let gone = Set(closed.prefix(Int.random(in: 0...closed.count, using: &chance)))
        for id in offered.indices where offered[id].segment.map(gone.contains) == true {
            offered[id].isDeletable = true
        }
        log.delete(Array(gone))
        log.work()
        try settleAnswers()
        try crashIfDown()
    }

    private mutating func read() throws {
        guard let log, log.isHealthy, let id = acknowledged.randomElement(using: &chance),
            !offered[id].isDeletable, let position = offered[id].position
        else { return }
        do {
            let record = try log.read(position)
            guard record.payload == offered[id].payload else {
                throw failure("record \(id) reads as another")
            }
        } catch let error as LogError {
            if error != SimulatedDisk.powerIsOut { throw failure("reading \(id): \(error)") }
        }
        try crashIfDown()
    }

    /// A log that failed, or a disk without power, ends the process.
    private mutating func crashIfDown() throws {
        if disk.isOut || log?.isHealthy == false { try crash() }
    }

    private mutating func crash() throws {
        disk.cutPower(&chance)
        plan.powerCutAt = nil
        try settleAnswers()
        try open()
    }

    // MARK: The model

    private mutating func settleAnswers() throws {
        let told = answers.withLock { answers in
            defer { answers = [] }
            return answers
        }
        for (id, result) in told {
            switch result {
            case .success(let record):
                offered[id].fate = .acknowledged
                offered[id].segment = record.position.segment
                offered[id].position = record.position
                acknowledged.append(id)
            case .failure(let error):
                // Of a failed log nobody knows what is on the disk.
                if !error.isFatal, error != .closed { offered[id].fate = .refused }
            }
        }
    }

    private mutating func open() throws {
        log = nil
        for _ in 0..<100 {
            if Int.random(in: 0..<8, using: &chance) == 0 {
                plan.powerCutAt = disk.counts.calls + Int.random(in: 1...60, using: &chance)
                disk.setPlan(plan)
            }
            var found: [LogRecord] = []
            do {
                let opened = try SegmentedLog.open(
                    options: options, fileSystem: fileSystem,
                    logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() },
                    hasThread: false, onFatal: { _ in }, replay: { found.append($0) })
                plan.powerCutAt = nil
                disk.setPlan(plan)
                log = opened.log
                guard opened.report.faults.isEmpty else {
                    throw failure("faults: \(opened.report.faults)")
                }
                return try compare(found)
            } catch let error as LogError {
                if disk.isOut {
                    disk.cutPower(&chance)
                    plan.powerCutAt = nil
                } else if error == .diskFull, disk.free < Self.leastRoom {
                    isFull = false
                    disk.empty()
                } else if case .io(30, _) = error {
                    // Nothing is written any more before somebody repairs the file system.
                    disk.cutPower(&chance)
                } else if case .failed = error {
                    disk.killProcess()
                } else if case .io(let number, _) = error, number == 5 || number == 28 {
                    isFull = false
                    disk.empty()
                } else {
                    throw failure("does not open: \(error)")
                }
                disk.killProcess()
            }
        }
        throw failure("does not open at all")
    }

    private mutating func compare(_ found: [LogRecord]) throws {
        if let violation = checker.violations.first { throw failure(violation) }
        var seen: [Int: Int] = [:]
        var order: [Int] = []
        for record in found {
            guard let id = Self.id(of: record.payload), id < offered.count,
                isSame(offered[id].payload, record.payload),
                record.type == (offered[id].isControl ? 2 : 1)
            else { throw failure("a record that nobody appended") }
            guard offered[id].fate != .refused else {
                throw failure("record \(id) was refused and is there")
            }
            seen[id, default: 0] += 1
            if seen[id] == 1 { order.append(id) }
            guard seen[id] == 1 || offered[id].isControl else {
                throw failure("record \(id) is there twice")
            }
            offered[id].segment = record.position.segment
            offered[id].position = record.position
        }
        let due = acknowledged.filter { !offered[$0].isDeletable }
        for id in due where seen[id] == nil {
            throw failure("record \(id) was acknowledged and is lost")
        }
        let wanted = Set(due)
        guard order.filter({ wanted.contains($0) }) == due else {
            throw failure("records are out of order")
        }
        // What was found once is durable from now on: the opening synced it.
        for id in order where offered[id].fate == .open {
            offered[id].fate = .acknowledged
        }
        acknowledged = order
    }

    private func failure(_ what: String) -> SimulationFailure {
        SimulationFailure(seed: seed, operation: operation, what: what)
    }

    private static func payload(_ id: Int, count: Int) -> [UInt8] {
        var bytes = (0..<8).map { UInt8(truncatingIfNeeded: id >> (8 * $0)) }
        var chance = SeededChance(seed: UInt64(id))
        bytes.reserveCapacity(count + 8)
        while bytes.count < count {
            let next = chance.next()
            for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: next >> (8 * shift))) }
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    /// As `==`, by the C library: most of what a comparison takes.
    private func isSame(_ first: [UInt8], _ second: [UInt8]) -> Bool {
        first.count == second.count
            && first.withUnsafeBytes { first in
                second.withUnsafeBytes { second in
                    guard let start = first.baseAddress, let other = second.baseAddress else {
                        return true
                    }
                    return memcmp(start, other, first.count) == 0
                }
            }
    }

    private static func id(of payload: [UInt8]) -> Int? {
        guard payload.count >= 8 else { return nil }
        return (0..<8).reduce(0) { $0 | Int(payload[$1]) << (8 * $1) }
    }
}
