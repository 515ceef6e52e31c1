internal import Logging
internal import SegmentedLog
internal import WaybillThreads

/// What a crash alone does not show: damage by hand, and faults that must meet in one place.
///
/// A run is a log that is filled, one probe, and an account of all records.
package final class MutantProbes {
    private let seed: UInt64
    var chance: SeededChance
    private let disk = SimulatedDisk(capacity: 4 << 20)
    private let checker: OrderChecker
    let options: LogOptions
    var step = ""

    private static let headerBytes = 512
    private static let copyOffset = 4096
    private static let recordsOffset = 8192
    private static let frameBytes = 32

    package init(seed: UInt64) throws(SimulationFailure) {
        self.seed = seed
        chance = SeededChance(seed: seed &* 104_729)
        checker = OrderChecker(disk)
        guard let key = MasterKey([UInt8](repeating: 7, count: 32)) else {
            throw SimulationFailure(seed: seed, operation: 0, what: "no key")
        }
        var options = LogOptions(directory: "/log", masterKey: key)
        options.segmentBytes = 16 << 10
        options.reserveBytes = 4 << 10
        options.gatheringInterval = .zero
        self.options = options
    }

    package func run() throws(SimulationFailure) {
        do {
            switch number(0...5) {
            case 0: try forgeHeader()
            case 1: try changeManifest()
            case 2: try changeOpenRecord()
            case 3: try cutDeletions()
            default: try refuseWriteTwice()
            }
            if let violation = checker.violations.first { throw ProbeMismatch(what: violation) }
        } catch let mismatch as ProbeMismatch {
            throw failure(mismatch.what)
        } catch {
            throw failure("\(step): \(error)")
        }
    }

    private func failure(_ what: String) -> SimulationFailure {
        SimulationFailure(seed: seed, operation: 0, what: what)
    }

    func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &chance) }

    // MARK: Probes

    /// The wrapped key of one segment is another one, with a right checksum: the opening must say
    /// that nothing of the segment can be read, not take its records for a torn tail.
    private func forgeHeader() throws {
        step = "forging a header"
        let log = try open().log
        var held: [UInt64: Int] = [:]
        for record in try fill(log) { held[record.position.segment, default: 0] += 1 }
        if number(0...1) == 0 { log.close() } else { disk.killProcess() }
        guard let segment = held.keys.sorted().randomElement(using: &chance),
            var content = disk.content(path(segment))
        else { throw ProbeMismatch(what: "no segment to forge") }
        let place = number(96...143)
        for start in [0, Self.copyOffset] {
            content[start + place] ^= 1
            let checked = start..<start + Self.headerBytes - 4
            let checksum = Castagnoli.checksum(content[checked])
            for index in 0..<4 {
                content[checked.upperBound + index] = UInt8(
                    truncatingIfNeeded: checksum >> (8 * UInt32(index)))
            }
        }
        disk.put(content, at: path(segment))
        disk.killProcess()
        let opened = try open()
        let fault = opened.report.faults.first { $0.segment == segment }
        guard let fault, fault.reason == .headerDamaged else {
            throw ProbeMismatch(
                what:
                    "\(held[segment] ?? 0) records of a segment under a forged key are gone, "
                    + "and the opening says \(opened.report.faults)")
        }
        opened.log.close()
    }

    /// A bit of the newest list of segments turns over: nothing else is gone.
    private func changeManifest() throws {
        step = "changing a manifest"
        let log = try open().log
        let records = try fill(log)
        let newest = log.currentSegment
        log.close()
        guard let content = disk.content(path(newest)) else {
            throw ProbeMismatch(what: "no segment to change")
        }
        let count = (0..<4).reduce(0) { $0 | Int(content[Self.recordsOffset + 4 + $1]) << (8 * $1) }
        guard count > 0 else { return }
        disk.flipBit(
            path(newest), at: Self.recordsOffset + Self.frameBytes + number(0...count - 1),
            bit: number(0...7))
        let opened = try open()
        let found = Set(opened.records.compactMap { Self.id(of: $0.payload) })
        if let id = records.indices.first(where: { !found.contains($0) }) {
            throw ProbeMismatch(
                what: "a list of segments was changed, and record \(id), which was not, is gone")
        }
        opened.log.close()
    }

    /// A bit of a record turns over while the log is open: who reads it must not get it.
    private func changeOpenRecord() throws {
        step = "changing a record"
        let log = try open().log
        let records = try fill(log)
        guard let record = records.randomElement(using: &chance) else { return }
        let position = record.position
        let offset =
            Int(position.offset) + Self.frameBytes + number(0...Int(position.byteCount) + 15)
        disk.flipBit(path(position.segment), at: offset, bit: number(0...7))
        do throws(LogError) {
            _ = try log.read(position)
        } catch {
            switch error {
            case .damaged: return log.close()
            default: throw ProbeMismatch(what: "a changed record cannot be read: \(error)")
            }
        }
        throw ProbeMismatch(what: "a record was changed and is read as if it were whole")
    }

    /// There is no room in the middle of a write, as where blocks are never written in place, and then
    /// the zeros over its beginning are not taken, or are; after a power cut nothing is there of what
    /// was refused.
    private func refuseWriteTwice() throws {
        step = "refusing a write"
        let log = try open().log
        let kept = try fill(log, count: number(1...2))
        var refused: [Int] = []
        var plan = SimulatedDisk.Plan()
        for round in 0..<40 where refused.isEmpty {
            let writes = disk.counts.writes
            plan.shortWrites[writes + 1] = number(200...4000)
            plan.failingWrites[writes + 2] = 28
            if number(0...1) == 0 { plan.failingWrites[writes + 3] = 5 }
            disk.setPlan(plan)
            var results: [Result<AppendedRecord, LogError>] = []
            let box = AnswerBox()
            let ids = (0..<number(20...80)).map { 1000 + round * 100 + $0 }
            for id in ids {
                log.append(type: 1, payload: Self.payload(id, count: number(8...150))) {
                    box.add($0)
                }
            }
            log.work()
            results = box.all
            if results.contains(where: { if case .failure = $0 { true } else { false } }) {
                refused = ids
            }
        }
        plan.failingWrites = [:]
        disk.setPlan(plan)
        guard log.isHealthy else { return }
        for _ in 0..<4 {
            let image = disk.copy()
            image.cutPower(&chance)
            let found = try open(image).records.compactMap { Self.id(of: $0.payload) }
            if let id = refused.first(where: found.contains) {
                throw ProbeMismatch(
                    what: "record \(id) was refused and is there after a power cut")
            }
            for index in kept.indices where !found.contains(index) {
                throw ProbeMismatch(what: "record \(index) was acknowledged and is lost")
            }
        }
    }

    // MARK: The log

    func open(
        _ fileSystem: (any FileSystem)? = nil
    ) throws -> (log: SegmentedLog, report: RecoveryReport, records: [LogRecord]) {
        var records: [LogRecord] = []
        let (log, report) = try SegmentedLog.open(
            options: options, fileSystem: fileSystem ?? checker,
            logger: Logger(label: "probe") { _ in SwiftLogNoOpLogHandler() }, hasThread: false,
            onFatal: { _ in }, replay: { records.append($0) })
        return (log, report, records)
    }

    /// Appends records until the log has some segments, unless a count is given.
    func fill(_ log: SegmentedLog, count: Int? = nil) throws -> [AppendedRecord] {
        let box = AnswerBox()
        for id in 0..<(count ?? number(8...40)) {
            log.append(type: 1, payload: Self.payload(id, count: number(8...1500))) { box.add($0) }
            if number(0...2) == 0 { log.work() }
        }
        log.work()
        return try box.all.map { try $0.get() }
    }

    private func path(_ segment: UInt64) -> String {
        let digits = String(segment, radix: 16)
        return "/log/" + String(repeating: "0", count: 16 - digits.count) + digits + ".seg"
    }

    static func payload(_ id: Int, count: Int) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: id >> (8 * $0)) }
            + [UInt8](repeating: UInt8(truncatingIfNeeded: id), count: count)
    }

    static func id(of payload: [UInt8]) -> Int? {
        guard payload.count >= 8 else { return nil }
        return (0..<8).reduce(0) { $0 | Int(payload[$1]) << (8 * $1) }
    }
}

/// What a log told, in order.
private final class AnswerBox: Sendable {
    private let answers = Monitor<[Result<AppendedRecord, LogError>]>([])

    func add(_ answer: Result<AppendedRecord, LogError>) {
        answers.withLock { $0.append(answer) }
    }

    var all: [Result<AppendedRecord, LogError>] { answers.withLock { $0 } }
}

/// What a probe found wrong.
struct ProbeMismatch: Error {
    let what: String
}
