package import SegmentedLog
internal import WaybillThreads

/// A disk in memory that forgets what was not synced when its power is cut.
///
/// Files have a content that the process sees and one that is on the platter, by sector of 512 bytes;
/// directories have entries of both kinds. ``cutPower(_:)`` keeps, loses or tears each unsynced
/// sector and keeps or loses each unsynced entry, as the given source of chance says. What is open
/// then fails for ever. Faults come from ``Plan``, each at the call with its number.
package final class SimulatedDisk: FileSystem {
    package static let sectorBytes = 512

    /// The process is gone: what a call throws from a power cut on.
    package static let powerIsOut = LogError.failed(errno: 0, operation: "power")

    private struct Content {
        var bytes: [UInt8] = []
        /// On the platter.
        var durable: [UInt8] = []
        /// Sectors that differ, or may.
        var dirty: Set<Int> = []
        /// What unsynced sectors held before they were written again or cut off: the system may have
        /// written that back meanwhile.
        var earlier: [Int: [[UInt8]]] = [:]
        /// Space that was reserved beyond the content.
        var allocated = 0
        /// Sectors that were written and synced: to write them again needs no journal.
        var mapped: Set<Int> = []

        /// About to change: remembers what was written there since the last sync.
        mutating func willChange(_ range: Range<Int>) {
            let size = SimulatedDisk.sectorBytes
            guard !dirty.isEmpty, let last = range.last else { return }
            for sector in range.lowerBound / size...last / size where dirty.contains(sector) {
                let content = bytes.dropFirst(sector * size).prefix(size)
                earlier[sector, default: []].append(Array(content))
            }
        }

        mutating func resize(_ count: Int) {
            if count < bytes.count {
                willChange(count..<bytes.count)
                let size = SimulatedDisk.sectorBytes
                mapped = mapped.filter { ($0 + 1) * size <= count }
                bytes.removeLast(bytes.count - count)
            } else {
                // What lay here before the file was cut off must not come back.
                let again = bytes.count..<max(bytes.count, min(count, durable.count))
                if let last = again.last {
                    let size = SimulatedDisk.sectorBytes
                    dirty.formUnion(again.lowerBound / size...last / size)
                }
                bytes.append(contentsOf: repeatElement(0, count: count - bytes.count))
            }
        }
    }

    /// A change to a directory that no sync has covered.
    private enum EntryChange {
        case link(String, file: Int)
        case unlink(String)
        /// An entry names a file, not the name that the file had before.
        case rename(String, to: String, file: Int)

        var path: String {
            switch self {
            case .link(let path, _), .unlink(let path), .rename(_, let path, _): path
            }
        }
    }

    private struct State {
        var plan = Plan()
        var counts = Counts()
        var capacity: Int
        var takenByOthers = 0
        var files: [Int: Content] = [:]
        var nextFile = 1
        var entries: [String: Int] = [:]
        var durableEntries: [String: Int] = [:]
        var changes: [EntryChange] = []
        var directories: Set<String> = []
        /// Those whose own name was synced, too.
        var durableDirectories: Set<String> = []
        var locked: Set<String> = []
        /// Open files of an earlier one are dead.
        var power = 1
        var isOut = false
        /// The file system gave itself up.
        var isAborted = false
        var isObserved = false
        var nonces = NonceWatch()
    }

    private let state: Monitor<State>

    /// - Parameter capacity: bytes that all files may take together.
    package init(capacity: Int = 1 << 30) {
        state = Monitor(State(capacity: capacity))
    }

    private init(_ state: State) {
        self.state = Monitor(state)
    }

    // MARK: What a test does

    /// Another disk as this one is now; nothing is open on it.
    package func copy() -> SimulatedDisk {
        var copied = state.withLock { $0 }
        copied.power += 1
        copied.locked = []
        return SimulatedDisk(copied)
    }

    package var counts: Counts { state.withLock { $0.counts } }

    /// Of the counts; asked for at each call.
    var powerCuts: Int { state.withLock { $0.counts[.powerCut] } }

    package func setPlan(_ plan: Plan) {
        state.withLock { $0.plan = plan }
    }

    /// Looks on: what `body` has the disk do counts for nothing and goes well, but for a power that
    /// is out.
    package func observe<Result, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        state.withLock { $0.isObserved = true }
        defer { state.withLock { $0.isObserved = false } }
        return try body()
    }

    /// Somebody else takes all room there is.
    package func fill() {
        state.withLock { $0.takenByOthers += max(0, Self.free($0)) }
    }

    /// And gives it back.
    package func empty() {
        state.withLock { $0.takenByOthers = 0 }
    }

    /// Bytes that could still be written.
    package var free: Int { state.withLock { Self.free($0) } }

    /// Whether the plan has cut the power; every call fails until ``cutPower(_:)``.
    package var isOut: Bool { state.withLock { $0.isOut } }

    /// How often a key sealed two contents under one nonce.
    package var repeatedNonces: Int { state.withLock { $0.nonces.repetitions } }

    /// The negative controls of the plan.
    package var ignoresSyncs: Bool { state.withLock { $0.plan.ignoresSyncs } }
    package var ignoresDirectorySyncs: Bool { state.withLock { $0.plan.ignoresDirectorySyncs } }

    /// Bytes that all files take.
    package var usedBytes: Int {
        state.withLock { $0.capacity - $0.takenByOthers - Self.free($0) }
    }

    /// Names of all files, sorted.
    package var names: [String] { state.withLock { $0.entries.keys.sorted() } }

    /// Turns over one bit of a file, in what the process sees and on the platter.
    package func flipBit(_ path: String, at offset: Int, bit: Int) {
        state.withLock { state in
            guard let file = state.entries[path], let content = state.files[file],
                offset < content.bytes.count
            else { return }
            state.counts[.flippedBit] += 1
            state.files[file]?.bytes[offset] ^= 1 << UInt8(bit)
            if offset < content.durable.count {
                state.files[file]?.durable[offset] ^= 1 << UInt8(bit)
            }
        }
    }

    /// Puts a content in a file's place, on the platter too, or takes the file away.
    package func plant(_ path: String, _ content: [UInt8]?, as fault: Fault?) {
        state.withLock { state in
            if let fault { state.counts[fault] += 1 }
            guard let content else {
                state.entries[path] = nil
                state.durableEntries[path] = nil
                return
            }
            let file = state.nextFile
            state.nextFile += 1
            state.files[file] = Content(bytes: content, durable: content)
            state.entries[path] = file
            state.durableEntries[path] = file
        }
    }

    /// A file's content as the process sees it.
    package func content(_ path: String) -> [UInt8]? {
        state.withLock { state in state.entries[path].flatMap { state.files[$0]?.bytes } }
    }

    /// Puts a whole file there, durable at once.
    package func put(_ bytes: [UInt8], at path: String) {
        state.withLock { state in
            let file = state.nextFile
            state.nextFile += 1
            state.files[file] = Content(bytes: bytes, durable: bytes)
            state.entries[path] = file
            state.durableEntries[path] = file
        }
    }

    /// Ends the process as a power cut does: everything that is open is dead from now on.
    ///
    /// - Parameter chance: decides for each unsynced sector and entry.
    package func cutPower(_ chance: inout some RandomNumberGenerator) {
        state.withLock { state in
            state.counts[.powerCut] += 1
            state.power += 1
            state.isOut = false
            state.isAborted = false
            state.plan.powerCutAt = nil
            state.locked = []
            Self.settleEntries(&state, &chance)
            let live = Set(state.entries.values)
            state.files = state.files.filter { live.contains($0.key) }
            for file in state.files.keys.sorted() { Self.settle(file, &state, &chance) }
        }
    }

    /// Ends the process and nothing else, as SIGKILL does: the page cache lives on.
    package func killProcess() {
        state.withLock { state in
            state.counts[.kill] += 1
            state.power += 1
            state.isOut = false
            state.plan.powerCutAt = nil
            state.locked = []
        }
    }

    private static func settle(
        _ file: Int, _ state: inout State, _ chance: inout some RandomNumberGenerator
    ) {
        guard var content = state.files[file] else { return }
        var after = content.durable
        if content.bytes.count != after.count, Bool.random(using: &chance) {
            var resized = Content(bytes: after)
            resized.resize(content.bytes.count)
            after = resized.bytes
        }
        for sector in content.dirty.sorted() {
            let start = sector * sectorBytes
            var written = content.bytes.dropFirst(start).prefix(sectorBytes)
            if let earlier = content.earlier[sector] {
                let version = Int.random(in: 0...earlier.count, using: &chance)
                if version < earlier.count { written = earlier[version][...] }
            }
            let end = min(start + written.count, after.count)
            guard start < end else { continue }
            switch Int.random(in: 0..<3, using: &chance) {
            case 0: state.counts[.lostSector] += 1
            case 1: after.replaceSubrange(start..<end, with: written.prefix(end - start))
            default:
                state.counts[.tornSector] += 1
                let border = Int.random(in: start...end, using: &chance)
                after.replaceSubrange(start..<border, with: written.prefix(border - start))
            }
        }
        content.bytes = after
        content.durable = after
        content.dirty = []
        content.earlier = [:]
        content.mapped = []
        state.files[file] = content
    }

    /// Keeps or loses each change, in their order; a change whose file is not there is lost.
    private static func settleEntries(
        _ state: inout State, _ chance: inout some RandomNumberGenerator
    ) {
        var entries = state.durableEntries
        for change in state.changes {
            guard Bool.random(using: &chance) else {
                state.counts[.lostEntry] += 1
                continue
            }
            apply(change, to: &entries)
        }
        for directory in state.directories.subtracting(state.durableDirectories).sorted() {
            guard Bool.random(using: &chance) else {
                // With all that is in it.
                state.counts[.lostEntry] += 1
                entries = entries.filter { parent(of: $0.key) != directory }
                continue
            }
            state.durableDirectories.insert(directory)
        }
        state.entries = entries
        state.durableEntries = entries
        state.changes = []
        state.directories = state.durableDirectories
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { return "/" }
        return String(path[..<slash])
    }

    private static func apply(_ change: EntryChange, to entries: inout [String: Int]) {
        switch change {
        case .link(let path, let file): entries[path] = file
        case .unlink(let path): entries[path] = nil
        case .rename(let path, let newPath, let file):
            entries[path] = nil
            entries[newPath] = file
        }
    }

    // MARK: FileSystem

    package func makeDirectory(_ path: String) throws(LogError) {
        try call { state throws(LogError) in
            _ = state.directories.insert(path)
        }
    }

    package func open(_ path: String, _ mode: FileMode) throws(LogError) -> any OpenFile {
        try call { state throws(LogError) in
            if state.isAborted, mode == .create { throw .io(errno: 30, operation: "open") }
            if let file = state.entries[path] {
                if mode == .create { Self.empty(file, &state) }
                return SimulatedFile(self, file, power: state.power)
            }
            guard mode == .create else { throw .io(errno: 2, operation: "open") }
            let file = state.nextFile
            state.nextFile += 1
            state.files[file] = Content()
            state.entries[path] = file
            state.changes.append(.link(path, file: file))
            return SimulatedFile(self, file, power: state.power)
        }
    }

    private static func empty(_ file: Int, _ state: inout State) {
        state.files[file]?.bytes = []
        state.files[file]?.allocated = 0
        state.files[file]?.mapped = []
    }

    package func syncDirectory(_ path: String) throws(LogError) {
        try change("fsync directory") { state throws(LogError) in
            state.counts.directorySyncs += 1
            if state.plan.ignoresDirectorySyncs { return }
            if state.plan.failingDirectorySyncs.contains(state.counts.directorySyncs) {
                state.counts[.failedDirectorySync] += 1
                throw .io(errno: 5, operation: "fsync directory")
            }
            let isCovered = { (change: EntryChange) in Self.parent(of: change.path) == path }
            for change in state.changes.filter(isCovered) {
                Self.apply(change, to: &state.durableEntries)
            }
            state.changes.removeAll(where: isCovered)
            state.durableDirectories.formUnion(
                state.directories.filter { Self.parent(of: $0) == path })
        }
    }

    package func rename(_ path: String, to newPath: String) throws(LogError) {
        try change("rename") { state throws(LogError) in
            guard let file = state.entries[path] else {
                throw .io(errno: 2, operation: "rename")
            }
            let change = EntryChange.rename(path, to: newPath, file: file)
            Self.apply(change, to: &state.entries)
            state.changes.append(change)
        }
    }

    package func unlink(_ path: String) throws(LogError) {
        try change("unlink") { state throws(LogError) in
            guard state.entries[path] != nil else { throw .io(errno: 2, operation: "unlink") }
            Self.apply(.unlink(path), to: &state.entries)
            state.changes.append(.unlink(path))
        }
    }

    package func list(_ path: String) throws(LogError) -> [String] {
        try call { state throws(LogError) in
            state.entries.keys.sorted().filter { $0.hasPrefix(path + "/") }
                .map { String($0.dropFirst(path.count + 1)) }
                .filter { !$0.contains("/") }
        }
    }

    package func freeBytes(_ path: String) throws(LogError) -> Int {
        try call { state throws(LogError) in Self.free(state) }
    }

    package func lock(_ path: String) throws(LogError) -> any OpenFile {
        _ = try open(path, .create)
        return try call { state throws(LogError) in
            guard !state.locked.contains(path), let file = state.entries[path] else {
                throw .locked
            }
            state.locked.insert(path)
            return SimulatedFile(self, file, power: state.power, lockedPath: path)
        }
    }

    func unlock(_ path: String, power: Int) {
        state.withLock { state in
            if state.power == power { state.locked.remove(path) }
        }
    }

    private static func free(_ state: State) -> Int {
        let live = Set(state.entries.values)
        let used = live.reduce(0) { sum, file in
            let content = state.files[file]
            return sum + max(content?.bytes.count ?? 0, content?.allocated ?? 0)
        }
        return state.capacity - state.takenByOthers - used
    }

    /// As ``call(power:_:)``; what an aborted file system does not do.
    private func change<Value>(
        _ operation: String, power: Int? = nil,
        _ body: (inout State) throws(LogError) -> Value
    ) throws(LogError) -> Value {
        try call(power: power) { state throws(LogError) in
            guard !state.isAborted else { throw .io(errno: 30, operation: operation) }
            return try body(&state)
        }
    }

    /// Whether the plan has the journal end with this sync.
    private static func aborts(_ state: inout State, at number: Int) -> Bool {
        guard state.plan.journalAbortsAt == number else { return false }
        state.plan.journalAbortsAt = nil
        state.counts[.abortedJournal] += 1
        state.isAborted = true
        return true
    }

    /// Counts a call, and cuts it off where the plan wants that.
    private func call<Value>(
        power: Int? = nil, _ body: (inout State) throws(LogError) -> Value
    ) throws(LogError) -> Value {
        var result: Result<Value, LogError>?
        state.withLock { state in
            if !state.isObserved {
                state.counts.calls += 1
                if state.plan.powerCutAt == state.counts.calls { state.isOut = true }
            }
            if state.isOut || power.map({ $0 != state.power }) == true {
                result = .failure(Self.powerIsOut)
                return
            }
            do throws(LogError) {
                result = .success(try body(&state))
            } catch {
                result = .failure(error)
            }
        }
        guard let result else { throw Self.powerIsOut }
        return try result.get()
    }

    // MARK: Of open files

    func write(
        _ bytes: ArraySlice<UInt8>, at offset: Int, _ file: SimulatedFile
    ) throws(LogError) -> Int {
        try change("pwrite", power: file.power) { state throws(LogError) in
            state.counts.writes += 1
            let number = state.counts.writes
            if let error = state.plan.failingWrites[number] {
                state.counts[.failedWrite] += 1
                throw .io(errno: error, operation: "pwrite")
            }
            var count = bytes.count
            if let short = state.plan.shortWrites[number], short > 0, short < count {
                state.counts[.shortWrite] += 1
                count = short
            }
            state.nonces.note(bytes, at: offset, of: state.files[file.file]?.bytes ?? [])
            guard var content = state.files[file.file] else { throw Self.powerIsOut }
            let room = max(content.bytes.count, content.allocated) + max(0, Self.free(state))
            count = min(count, room - offset)
            guard count > 0 || bytes.isEmpty else {
                state.counts[.fullDisk] += 1
                throw .io(errno: 28, operation: "pwrite")
            }
            // Else all of it would be copied.
            state.files[file.file] = nil
            content.willChange(offset..<offset + count)
            if offset + count > content.bytes.count { content.resize(offset + count) }
            content.bytes.replaceSubrange(offset..<offset + count, with: bytes.prefix(count))
            if count > 0 {
                let sectors =
                    offset / Self.sectorBytes...(offset + count - 1) / Self.sectorBytes
                content.dirty.formUnion(sectors)
            }
            state.files[file.file] = content
            return count
        }
    }

    func read(
        at offset: Int, count: Int, _ file: SimulatedFile
    ) throws(LogError) -> [UInt8] {
        try call(power: file.power) { state throws(LogError) in
            if !state.isObserved { state.counts.reads += 1 }
            if !state.isObserved, let error = state.plan.failingReads[state.counts.reads] {
                state.counts[.failedRead] += 1
                throw .io(errno: error, operation: "pread")
            }
            guard let content = state.files[file.file] else { throw Self.powerIsOut }
            let end = min(offset + count, content.bytes.count)
            return offset < end ? Array(content.bytes[offset..<end]) : []
        }
    }

    func synchronize(_ file: SimulatedFile, overwriting: Bool) throws(LogError) {
        try change("fdatasync", power: file.power) { state throws(LogError) in
            state.counts.syncs += 1
            if state.plan.ignoresSyncs { return }
            let number = state.counts.syncs
            guard var content = state.files[file.file] else { throw Self.powerIsOut }
            var failure = state.plan.failingSyncs[number]
            if let from = state.plan.syncsFailFrom, number >= from { failure = .forEver }
            if let failure {
                state.counts[failure.fault] += 1
                if failure == .pagesAreReverted { content.bytes = content.durable }
                // Clean as far as the system knows: no later sync writes them.
                content.dirty = []
                content.earlier = [:]
                state.files[file.file] = content
                throw .io(errno: 5, operation: "fdatasync")
            }
            let isAborted = Self.aborts(&state, at: number)
            if isAborted, overwriting { content.dirty.formIntersection(content.mapped) }
            if isAborted, !overwriting { content.dirty = [] }
            // Else all of it would be copied.
            state.files[file.file] = nil
            var durable = Content(bytes: content.durable)
            content.durable = []
            if !isAborted { durable.resize(content.bytes.count) }
            for sector in content.dirty {
                let start = sector * Self.sectorBytes
                let end = min(
                    start + Self.sectorBytes, content.bytes.count, durable.bytes.count)
                guard start < end else { continue }
                durable.bytes.replaceSubrange(start..<end, with: content.bytes[start..<end])
            }
            content.durable = durable.bytes
            content.mapped.formUnion(content.dirty)
            content.dirty = []
            content.earlier = [:]
            state.files[file.file] = content
            if isAborted, !overwriting { throw .io(errno: 30, operation: "fdatasync") }
        }
    }

    func allocate(_ byteCount: Int, _ file: SimulatedFile) throws(LogError) {
        try change("fallocate", power: file.power) { state throws(LogError) in
            guard let content = state.files[file.file] else { throw Self.powerIsOut }
            let grows = byteCount - max(content.bytes.count, content.allocated)
            guard grows <= Self.free(state) else {
                state.counts[.fullDisk] += 1
                throw .io(errno: 28, operation: "fallocate")
            }
            state.files[file.file]?.allocated = max(content.allocated, byteCount)
            if byteCount > content.bytes.count { state.files[file.file]?.resize(byteCount) }
        }
    }

    func truncate(_ byteCount: Int, _ file: SimulatedFile) throws(LogError) {
        try change("ftruncate", power: file.power) { state throws(LogError) in
            state.files[file.file]?.resize(byteCount)
            state.files[file.file]?.allocated = byteCount
        }
    }

    func byteCount(_ file: SimulatedFile) throws(LogError) -> Int {
        try call(power: file.power) { state throws(LogError) in
            state.files[file.file]?.bytes.count ?? 0
        }
    }
}
