package import SegmentedLog
internal import WaybillThreads

/// A file system that watches the order of what a log does, on top of another one.
///
/// - No record is answered before a completed sync covers its bytes.
/// - No record is answered whose segment's name, or whose directory's name, is not synced.
/// - No file gets the name of a segment, or of the log's identity, before its content is synced.
/// - No segment is unlinked while the record of a deletion is not synced, or where there is none.
/// - Nobody hears of more records of a type than the log has answered; see ``willTell(type:)``.
///
/// What breaks a rule is in ``violations``, with what happened before.
package final class OrderChecker: FileSystem {
    /// What a watched process did, oldest first.
    enum Event: Sendable {
        case wrote(Int, Range<Int>)
        case synced(Int)
        case failedToSync(Int)
        case cut(Int, at: Int)
        case renamed(String, to: String)
        case unlinked(String)
        case syncedDirectory(String)
        case madeDirectory(String)
        case answered(segment: UInt64, Range<Int>)
        case told(type: UInt16)
    }

    private let base: any FileSystem
    private let state = Monitor(OrderState())
    /// Changes when the power was cut: what is on the disk then is all that there is.
    private let life: @Sendable () -> Int
    private let onViolation: @Sendable (String) -> Void

    /// - Parameters:
    ///   - life: another number after each power cut; a process that only ends leaves the page cache.
    ///   - onViolation: called at once, on the thread that broke a rule.
    package init(
        _ base: any FileSystem, life: @escaping @Sendable () -> Int = { 0 },
        onViolation: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.base = base
        self.life = life
        self.onViolation = onViolation
    }

    /// A checker of a simulated disk, which knows when its power was cut.
    package convenience init(_ disk: SimulatedDisk) {
        self.init(disk, life: { disk.powerCuts })
    }

    /// What broke a rule, each with the events before it.
    package var violations: [String] { state.withLock { $0.violations } }

    /// Somebody outside the log is about to be told that a record of this type is durable.
    ///
    /// For callers of a queue, who never see the record itself.
    package func willTell(type: UInt16) {
        note { $0.tell(type) }
    }

    /// Changes the state, and reports what that broke.
    private func note(_ change: (inout OrderState) -> Void) {
        let life = life()
        let new = state.withLock { state in
            if state.life != life { state.beginLife(life) }
            let count = state.violations.count
            change(&state)
            return state.violations.suffix(from: count)
        }
        for violation in new { onViolation(violation) }
    }

    fileprivate func number(of path: String) -> Int {
        var number = 0
        note { number = $0.number(of: path) }
        return number
    }

    // MARK: FileSystem

    package func makeDirectory(_ path: String) throws(LogError) {
        try base.makeDirectory(path)
        note { $0.makeDirectory(path) }
    }

    package func open(_ path: String, _ mode: FileMode) throws(LogError) -> any OpenFile {
        let file = try base.open(path, mode)
        return OrderedFile(file, number: number(of: path), checker: self)
    }

    package func syncDirectory(_ path: String) throws(LogError) {
        var before: [OrderState.EntryChange] = []
        note { before = $0.changes(in: path) }
        try base.syncDirectory(path)
        note { $0.syncDirectory(path, before) }
    }

    package func rename(_ path: String, to newPath: String) throws(LogError) {
        note { $0.willRename(path, to: newPath) }
        try base.rename(path, to: newPath)
        note { $0.rename(path, to: newPath) }
    }

    package func unlink(_ path: String) throws(LogError) {
        note { $0.willUnlink(path) }
        try base.unlink(path)
        note { $0.unlink(path) }
    }

    package func list(_ path: String) throws(LogError) -> [String] { try base.list(path) }

    package func freeBytes(_ path: String) throws(LogError) -> Int { try base.freeBytes(path) }

    package func lock(_ path: String) throws(LogError) -> any OpenFile { try base.lock(path) }

    package func willAnswer(_ record: AppendedRecord, type: UInt16, in directory: String) {
        note { $0.answer(record, type: type, in: directory) }
        base.willAnswer(record, type: type, in: directory)
    }

    // MARK: Of open files

    fileprivate func willWrite(_ bytes: ArraySlice<UInt8>, at offset: Int, _ file: Int) {
        note { $0.write(bytes, at: offset, file) }
    }

    fileprivate func didRead(_ bytes: [UInt8], of range: Range<Int>, _ file: Int) {
        note { $0.read(bytes, of: range, file) }
    }

    fileprivate func didMeasure(_ file: Int, _ byteCount: Int) {
        note { $0.measure(file, byteCount) }
    }

    fileprivate func synchronize(_ file: Int, _ body: () throws(LogError) -> Void) throws(LogError)
    {
        var covered: [Range<Int>] = []
        note { covered = $0.beginSync(file) }
        do throws(LogError) {
            try body()
        } catch {
            note { $0.failSync(file, covered) }
            throw error
        }
        note { $0.endSync(file, covered) }
    }

    fileprivate func didTruncate(_ file: Int, to byteCount: Int) {
        note { $0.truncate(file, to: byteCount) }
    }
}

/// An open file under an ``OrderChecker``.
private final class OrderedFile: OpenFile {
    private let file: any OpenFile
    private let number: Int
    private let checker: OrderChecker

    init(_ file: any OpenFile, number: Int, checker: OrderChecker) {
        self.file = file
        self.number = number
        self.checker = checker
    }

    func write(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(LogError) -> Int {
        // Before it happens: a write that fails may have written some of it.
        checker.willWrite(bytes, at: offset, number)
        return try file.write(bytes, at: offset)
    }

    func read(at offset: Int, count: Int) throws(LogError) -> [UInt8] {
        let bytes = try file.read(at: offset, count: count)
        checker.didRead(bytes, of: offset..<offset + count, number)
        return bytes
    }

    func synchronize(overwriting: Bool) throws(LogError) {
        try checker.synchronize(number) { () throws(LogError) in
            try file.synchronize(overwriting: overwriting)
        }
    }

    func allocate(_ byteCount: Int) throws(LogError) { try file.allocate(byteCount) }

    func truncate(_ byteCount: Int) throws(LogError) {
        try file.truncate(byteCount)
        checker.didTruncate(number, to: byteCount)
    }

    func byteCount() throws(LogError) -> Int {
        let count = try file.byteCount()
        checker.didMeasure(number, count)
        return count
    }
}
