internal import SegmentedLog

/// What an ``OrderChecker`` knows: which bytes and names of files no sync has covered.
struct OrderState: Sendable {
    /// A name that was made, changed or removed since its directory was synced.
    struct EntryChange: Sendable, Equatable {
        let path: String
        /// Tells two changes of one name apart.
        let number: Int
    }

    private struct File: Sendable {
        /// Ranges that were written since the last sync that succeeded.
        var dirty: [Range<Int>] = []
        /// Ranges whose sync failed: no later one makes them good, only another write does.
        var doubtful: [Range<Int>] = []
        /// Where the deletion records begin that are dirty.
        var dirtyDeletions: [Int] = []
        /// Behind the last byte that was written.
        var end = 0
    }

    private static let eventsMax = 40
    private static let deletionType: UInt16 = 0xff02
    private static let recordsOffset = 8192
    private static let frameBytesMin = 48

    private(set) var violations: [String] = []
    private(set) var life = 0
    private var files: [Int: File] = [:]
    private var numbers: [String: Int] = [:]
    private var paths: [Int: String] = [:]
    private var nextNumber = 1
    private var changes: [EntryChange] = []
    private var hasDeletion = false
    /// Records that the log has answered, and that others were told of, by type.
    private var answered: [UInt16: Int] = [:]
    private var told: [UInt16: Int] = [:]
    private var events: [OrderChecker.Event] = []

    // MARK: Names

    /// After a power cut all that is there is durable, and what is open is dead.
    mutating func beginLife(_ number: Int) {
        life = number
        files = [:]
        numbers = [:]
        changes = []
    }

    /// The number of the file that has this name now.
    mutating func number(of path: String) -> Int {
        if let number = numbers[path] { return number }
        let number = nextNumber
        nextNumber += 1
        numbers[path] = number
        paths[number] = path
        return number
    }

    mutating func makeDirectory(_ path: String) {
        // It may have been there, and synced; a log that is opened cannot know.
        note(.madeDirectory(path))
        change(path)
    }

    mutating func willRename(_ path: String, to newPath: String) {
        guard newPath.hasSuffix(".seg") || newPath.hasSuffix("/identity"),
            let file = files[number(of: path)], !file.dirty.isEmpty || !file.doubtful.isEmpty
        else { return }
        violate("\(Self.name(newPath)) gets its name and its content is not synced")
    }

    mutating func rename(_ path: String, to newPath: String) {
        note(.renamed(path, to: newPath))
        let number = number(of: path)
        numbers[path] = nil
        numbers[newPath] = number
        paths[number] = newPath
        change(newPath)
    }

    mutating func willUnlink(_ path: String) {
        guard path.hasSuffix(".seg") else { return }
        if !hasDeletion { violate("\(Self.name(path)) is unlinked and no deletion is on record") }
        let isOpen = files.contains { !$0.value.dirtyDeletions.isEmpty }
        if isOpen { violate("\(Self.name(path)) is unlinked and a deletion record is not synced") }
    }

    mutating func unlink(_ path: String) {
        note(.unlinked(path))
        if let number = numbers.removeValue(forKey: path) { files[number] = nil }
        change(path)
    }

    func changes(in directory: String) -> [EntryChange] {
        changes.filter { Self.parent(of: $0.path) == directory }
    }

    mutating func syncDirectory(_ path: String, _ covered: [EntryChange]) {
        note(.syncedDirectory(path))
        changes.removeAll { covered.contains($0) }
    }

    private mutating func change(_ path: String) {
        nextNumber += 1
        changes.append(EntryChange(path: path, number: nextNumber))
    }

    // MARK: Content

    mutating func write(_ bytes: ArraySlice<UInt8>, at offset: Int, _ number: Int) {
        let range = offset..<offset + bytes.count
        note(.wrote(number, range))
        var file = files[number] ?? File()
        file.doubtful = Self.without(range, file.doubtful)
        file.dirty.append(range)
        file.end = max(file.end, range.upperBound)
        for start in Self.deletions(in: bytes) {
            file.dirtyDeletions.append(offset + start)
            hasDeletion = true
        }
        files[number] = file
    }

    /// Deletions that an earlier process recorded, and those that it tried to and that are not there:
    /// nobody goes by them.
    mutating func read(_ bytes: [UInt8], of range: Range<Int>, _ number: Int) {
        if !hasDeletion { hasDeletion = !Self.deletions(in: bytes[...]).isEmpty }
        if files[number]?.dirtyDeletions.isEmpty == false {
            files[number]?.dirtyDeletions.removeAll {
                // All of its header was asked for.
                range.lowerBound <= $0 && $0 + 32 <= range.upperBound
                    && !Self.isFrame(bytes[...], at: $0 - range.lowerBound)
            }
        }
    }

    /// Nor does anybody go by what the end of the file cuts off.
    mutating func measure(_ number: Int, _ byteCount: Int) {
        if files[number]?.dirtyDeletions.isEmpty == false {
            files[number]?.dirtyDeletions.removeAll { $0 + Self.frameBytesMin > byteCount }
        }
    }

    /// What a sync that begins now covers.
    mutating func beginSync(_ number: Int) -> [Range<Int>] { files[number]?.dirty ?? [] }

    mutating func endSync(_ number: Int, _ covered: [Range<Int>]) {
        note(.synced(number))
        guard var file = files[number] else { return }
        file.dirty.removeFirst(min(covered.count, file.dirty.count))
        file.dirtyDeletions.removeAll { start in covered.contains { $0 ~= start } }
        files[number] = file
    }

    mutating func failSync(_ number: Int, _ covered: [Range<Int>]) {
        note(.failedToSync(number))
        guard var file = files[number] else { return }
        file.dirty.removeFirst(min(covered.count, file.dirty.count))
        file.doubtful += covered
        files[number] = file
    }

    mutating func truncate(_ number: Int, to byteCount: Int) {
        note(.cut(number, at: byteCount))
        guard var file = files[number] else { return }
        let gone = byteCount..<max(byteCount, Int.max)
        file.dirty = Self.without(gone, file.dirty)
        file.doubtful = Self.without(gone, file.doubtful)
        file.dirtyDeletions.removeAll { $0 >= byteCount }
        file.end = min(file.end, byteCount)
        files[number] = file
    }

    // MARK: Answers

    mutating func answer(_ record: AppendedRecord, type: UInt16, in directory: String) {
        let start = Int(record.position.offset)
        let range = start..<start + 32 + Int(record.position.byteCount) + 16
        note(.answered(segment: record.position.segment, range))
        answered[type, default: 0] += 1
        let path = Self.path(in: directory, record.position.segment)
        let name = Self.name(path)
        guard let file = files[numbers[path] ?? 0], file.end >= range.upperBound else {
            return violate("a record is answered and was never written at \(range) of \(name)")
        }
        if file.dirty.contains(where: { $0.overlaps(range) }) {
            violate("a record is answered and \(range) of \(name) is not synced")
        }
        if file.doubtful.contains(where: { $0.overlaps(range) }) {
            violate("a record is answered and the sync of \(range) of \(name) failed")
        }
        for change in changes where change.path == path || change.path == directory {
            violate("a record of \(name) is answered and the name \(change.path) is not synced")
        }
    }

    mutating func tell(_ type: UInt16) {
        note(.told(type: type))
        told[type, default: 0] += 1
        let (told, answered) = (told[type, default: 0], answered[type, default: 0])
        if told > answered {
            violate("\(told) records of type \(type) are told of and \(answered) are durable")
        }
    }

    // MARK: Reports

    private mutating func note(_ event: OrderChecker.Event) {
        if events.count >= 2 * Self.eventsMax { events.removeFirst(Self.eventsMax) }
        events.append(event)
    }

    private mutating func violate(_ what: String) {
        guard violations.count < 100 else { return }
        let before = events.suffix(Self.eventsMax).map { "  " + text($0) }
        violations.append(([what + ", after"] + before).joined(separator: "\n"))
    }

    private func text(_ event: OrderChecker.Event) -> String {
        switch event {
        case .wrote(let file, let range): "write \(range) of \(name(file))"
        case .synced(let file): "sync \(name(file))"
        case .failedToSync(let file): "fail to sync \(name(file))"
        case .cut(let file, let byteCount): "cut \(name(file)) at \(byteCount)"
        case .renamed(let path, let newPath): "rename \(Self.name(path)) to \(Self.name(newPath))"
        case .unlinked(let path): "unlink \(Self.name(path))"
        case .syncedDirectory(let path): "sync directory \(path)"
        case .madeDirectory(let path): "make directory \(path)"
        case .answered(let segment, let range): "answer for \(range) of segment \(segment)"
        case .told(let type): "tell of a record of type \(type)"
        }
    }

    private func name(_ file: Int) -> String { paths[file].map(Self.name) ?? "file \(file)" }

    private static func name(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// As the description of the format has it: 16 hexadecimal digits.
    private static func path(in directory: String, _ segment: UInt64) -> String {
        let digits = String(segment, radix: 16)
        return directory + "/" + String(repeating: "0", count: 16 - digits.count) + digits + ".seg"
    }

    /// Where deletion records begin in what is written or read of a segment, whole frames on.
    private static func deletions(in bytes: ArraySlice<UInt8>) -> [Int] {
        var found: [Int] = []
        var start = bytes.startIndex
        if bytes.count > recordsOffset, !isFrame(bytes, at: start) {
            start += recordsOffset
        }
        while isFrame(bytes, at: start) {
            let count = (0..<4).reduce(0) { $0 | Int(bytes[start + 4 + $1]) << (8 * $1) }
            let type = UInt16(bytes[start + 24]) | UInt16(bytes[start + 25]) << 8
            if type == deletionType { found.append(start - bytes.startIndex) }
            start += 32 + count + 16
        }
        return found
    }

    private static func isFrame(_ bytes: ArraySlice<UInt8>, at start: Int) -> Bool {
        start + 32 <= bytes.endIndex && bytes[start..<start + 4].elementsEqual("WREC".utf8)
    }

    /// What is left of ranges outside of `hole`.
    private static func without(_ hole: Range<Int>, _ ranges: [Range<Int>]) -> [Range<Int>] {
        guard ranges.contains(where: { $0.overlaps(hole) }) else { return ranges }
        return ranges.flatMap { range in
            [
                range.lowerBound..<max(range.lowerBound, min(range.upperBound, hole.lowerBound)),
                min(range.upperBound, max(range.lowerBound, hole.upperBound))..<range.upperBound,
            ].filter { !$0.isEmpty }
        }
    }
}
