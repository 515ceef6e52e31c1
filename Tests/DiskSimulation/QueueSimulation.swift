internal import Logging
package import SegmentedLog
internal import WaybillModel
internal import WaybillQueue
internal import WaybillThreads

/// One run of a whole queue on a ``SimulatedDisk``, on one thread with a virtual clock, beside a
/// ``QueueModel`` that is compared after every step.
///
/// The seed decides everything. Ends with a power cut, an opening, and the delivery of all that is
/// left; then the disk must be nearly empty.
package final class QueueSimulation {
    enum Told: Sendable {
        case answer(Int, Result<EnqueueResult, QueueError>)
        case durable(Int)
    }

    let seed: UInt64
    private let operations: Int
    var chance: SeededChance
    package let disk = SimulatedDisk(capacity: 4 << 20)
    /// What the queue works on; the disk, or what stands between.
    package var fileSystem: any FileSystem
    let checker: OrderChecker
    /// What the disk does wrong; the simulation adds to it.
    package var plan = SimulatedDisk.Plan()
    /// Settlements that became durable while the disk was full, and openings.
    package private(set) var settledOnFullDisk = 0
    package private(set) var openings = 0
    /// Segments that were written anew.
    package internal(set) var compactions = 0
    package private(set) var deliveries = 0
    package private(set) var operation = 0

    let options: DiskQueueOptions
    let clock = VirtualClock()
    var queue: DiskQueue?
    var model: QueueModel
    var admissions: [Int: QueueModel.Admission] = [:]
    let told = Monitor<[Told]>([])
    var isFull = false
    var devices: [(tenant: Int32, device: UInt64)] = []
    var nextBundle: UInt64 = 1
    /// Whether bundles are marked while they are opened; what such marks charge is less certain.
    let hasMarks: Bool
    /// What was on the disk when the queue was compared last.
    private var compared: (indexes: Set<String>, compactions: Int) = ([], 0)
    /// Whether so much time has passed since that much may have been forgotten.
    var timeJumped = false
    /// A log needs that much to open: a segment with nothing but a header and a long manifest.
    private static let leastRoom = 10 << 10

    package init(seed: UInt64, operations: Int = 200) {
        self.seed = seed
        self.operations = operations
        chance = SeededChance(seed: seed)
        checker = OrderChecker(disk)
        fileSystem = checker
        var options = DiskQueueOptions(
            directory: "/queue", masterKey: [UInt8](repeating: 7, count: 32))
        options.segmentBytes = 16 << 10
        options.reserveBytes = 16 << 10
        if seed % 3 == 0 { options.sharedLeaseBytesMax = 1500 }
        self.options = options
        hasMarks = seed % 4 == 0
        model = QueueModel(retention: options.settledRetention)
        for number in 0..<UInt64.random(in: 3...9, using: &chance) {
            devices.append((Int32(1 + number % 3), number))
        }
    }

    /// Runs all operations, a last crash, and drains what is left.
    package func run() throws(SimulationFailure) {
        do {
            disk.setPlan(plan)
            try open()
            while operation < operations {
                operation += 1
                try operate()
                try compare()
            }
            operation += 1
            try crash()
            try drain()
            guard disk.repeatedNonces == 0 else {
                throw ModelMismatch("\(disk.repeatedNonces) nonces were used twice")
            }
        } catch let mismatch as ModelMismatch {
            throw SimulationFailure(seed: seed, operation: operation, what: explain(mismatch))
        } catch {
            throw SimulationFailure(seed: seed, operation: operation, what: "\(error)")
        }
    }

    // MARK: Steps

    func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &chance) }

    /// Does the log's work, once or not at all, and hears what it had to tell.
    func work() throws {
        queue?.work()
        try listen()
        try crashIfDown()
    }

    func listen() throws {
        let news = told.withLock { told in
            defer { told = [] }
            return told
        }
        for event in news {
            switch event {
            case .answer(let number, let result):
                guard let admission = admissions.removeValue(forKey: number) else {
                    throw ModelMismatch("\(number) is answered twice")
                }
                try model.answer(number, admission, result)
            case .durable(let settlement):
                if isFull { settledOnFullDisk += 1 }
                try model.noteSynced(settlement)
            }
        }
    }

    func compare() throws {
        if let violation = checker.violations.first { throw ModelMismatch(violation) }
        // A status may read the disk, which may be what cuts the power.
        guard let queue, queue.status.isHealthy, !disk.isOut else { return }
        guard queue.faults.isEmpty else {
            throw ModelMismatch("a disk that keeps its word has \(queue.faults)")
        }
        let comparison = timeJumped ? .whole : nextComparison()
        timeJumped = false
        try disk.observe { () throws(ModelMismatch) in
            try model.compare(with: queue, at: clock.now, comparison)
        }
        guard operation % 16 == 0 else { return }
        let names: Set<String>
        do throws(QueueError) {
            names = try queue.liveFileNames()
        } catch {
            guard error.isRetryable || disk.isOut else {
                throw ModelMismatch("naming files: \(error)")
            }
            return try crashIfDown()
        }
        guard names == model.fileNames else {
            throw ModelMismatch("other files are named than are needed")
        }
    }

    /// What has to be compared, by what became of segments since the last time.
    private func nextComparison() -> QueueModel.Comparison {
        let indexes = Set(disk.names.filter { $0.hasSuffix(".idx") })
        defer { compared = (indexes, compactions) }
        if compactions != compared.compactions { return .whole }
        return indexes.isSubset(of: compared.indexes) ? .step : .segment
    }

    /// For a failure's text: what the queue says when one asks otherwise.
    func explain(_ mismatch: ModelMismatch) -> String {
        guard let queue else { return mismatch.what }
        let found = disk.names.map { $0.split(separator: "/").last ?? "" }.joined(separator: " ")
        var answer = ""
        if let key = mismatch.key,
            let message = model.copies.last(where: { $0.message.key == key })?.message
        {
            let heard = Monitor("nothing")
            disk.observe {
                queue.enqueue(message) { result in heard.update { $0 = "\(result)" } }
                queue.work()
            }
            answer = "; enqueuing it again comes to \(heard.withLock { $0 })"
        }
        return "\(mismatch.what)\(answer); depth \(queue.backlog.bundles), files \(found)"
    }

    func noteDelivered(_ count: Int) { deliveries += count }

    // MARK: Ends and openings

    /// A queue that failed, or a disk without power, ends the process.
    func crashIfDown() throws {
        if disk.isOut { return try crash() }
        guard queue?.status.isHealthy == false else { return }
        if Bool.random(using: &chance) { try crash() } else { try kill() }
    }

    func crash() throws {
        endLife()
        try listen()
        disk.cutPower(&chance)
        try open()
    }

    func kill() throws {
        endLife()
        try listen()
        disk.killProcess()
        try open()
    }

    private func endLife() {
        plan.powerCutAt = nil
        queue = nil
    }

    func open() throws {
        queue = nil
        var reason = ""
        for _ in 0..<100 {
            if number(0...7) == 0 {
                plan.powerCutAt = disk.counts.calls + number(1...80)
                disk.setPlan(plan)
            }
            let opened: DiskQueue
            do throws(QueueError) {
                let clock = clock
                opened = try DiskQueue.open(
                    options: options, fileSystem: fileSystem,
                    logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() },
                    hasThreads: false, clock: { clock.now }, wallClock: { clock.wall },
                    onFatal: { _ in })
                // A status may read the disk, which may be what cuts the power.
                guard opened.status.isHealthy, !disk.isOut else { throw .unhealthy }
            } catch {
                reason = error.description
                try repair(error)
                continue
            }
            plan.powerCutAt = nil
            disk.setPlan(plan)
            openings += 1
            queue = opened
            admissions = [:]
            guard opened.recoveryFaults.isEmpty else {
                throw ModelMismatch("the opening reports \(opened.recoveryFaults)")
            }
            try disk.observe { () throws(ModelMismatch) in
                try model.restart(with: opened)
            }
            _ = nextComparison()
            return
        }
        throw ModelMismatch("does not open at all: \(reason)")
    }

    /// Ends what keeps a queue from opening, if that is the disk's fault.
    private func repair(_ error: QueueError) throws(ModelMismatch) {
        plan.powerCutAt = nil
        if disk.isOut {
            disk.cutPower(&chance)
            return
        }
        switch error {
        case .diskFull where disk.free < Self.leastRoom, .io(errno: 28, _):
            isFull = false
            disk.empty()
        case .unhealthy, .io(errno: 5, _):
            // Somebody changes the disk, and what was on the platter is on the new one.
            plan.syncsFailFrom = nil
            disk.setPlan(plan)
        default: throw ModelMismatch("does not open: \(error)")
        }
        disk.killProcess()
    }

    // MARK: The end

    /// Everything is delivered at last, and the disk is free again.
    private func drain() throws {
        plan = SimulatedDisk.Plan()
        plan.ignoresSyncs = disk.ignoresSyncs
        plan.ignoresDirectorySyncs = disk.ignoresDirectorySyncs
        disk.setPlan(plan)
        disk.empty()
        isFull = false
        try setPaused(false)
        var idle = 0
        while model.queuedCount > 0 {
            guard idle < 100 else {
                throw ModelMismatch("\(model.queuedCount) are never delivered")
            }
            let before = model.queuedCount
            if try !leaseSome() { clock.advance(by: .seconds(3600)) }
            while !model.leases.isEmpty {
                try settle(0, model.leases[0].copies.map { _ in .settled })
            }
            try work()
            idle = model.queuedCount < before ? 0 : idle + 1
            try compare()
        }
        timeJumped = true
        try compare()
        for _ in 0..<4 { try work() }
        guard let status = queue?.status, status.segments <= 3, disk.usedBytes <= 160 << 10 else {
            throw ModelMismatch(
                "an empty queue takes \(disk.usedBytes) bytes: \(disk.names)")
        }
        try crash()
        guard model.queuedCount == 0 else { throw ModelMismatch("something came back") }
        queue?.close()
    }
}
