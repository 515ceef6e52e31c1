internal import SegmentedLog

/// Which bundles are being opened at this moment, in a file: what a process that was killed leaves
/// there says which bundle it worked on.
///
/// The file is an array of slots of eight bytes, little-endian: the sequence of a bundle, 0 for none.
/// It is never synced: it has to survive the process, not the machine. Kept behind the queue's lock.
struct OpeningMarks: Sendable {
    static let fileName = "opening"
    private static let slotsMax = 4096

    private let file: any OpenFile
    private var freeSlots: [Int] = []
    private var slotCount = 0

    /// The sequences that the last process left behind; none without the file.
    static func left(in directory: String, _ fileSystem: any FileSystem) throws(LogError)
        -> [UInt64]
    {
        guard try fileSystem.list(directory).contains(fileName) else { return [] }
        let file = try fileSystem.open(directory + "/" + fileName, .existing)
        var reader = FieldReader(try file.read(at: 0, count: 8 * slotsMax)[...])
        var sequences: [UInt64] = []
        while let sequence = reader.integer(UInt64.self) {
            if sequence != 0 { sequences.append(sequence) }
        }
        return sequences
    }

    /// Makes the file, or empties it.
    init(directory: String, fileSystem: any FileSystem) throws(LogError) {
        file = try fileSystem.open(directory + "/" + Self.fileName, .create)
    }

    /// Takes a slot; nil when all are taken, or the file cannot be written: then the bundle goes
    /// unmarked, and only a crash while it is opened goes uncounted.
    mutating func set(_ sequence: UInt64) -> Int? {
        guard let slot = freeSlots.popLast() ?? newSlot() else { return nil }
        guard write(sequence, to: slot) else {
            freeSlots.append(slot)
            return nil
        }
        return slot
    }

    mutating func clear(_ slot: Int) {
        _ = write(0, to: slot)
        freeSlots.append(slot)
    }

    /// Forgets all of them: the process ends in order. Marks set later count for nothing.
    func clear() {
        for slot in 0..<slotCount { _ = write(0, to: slot) }
    }

    private mutating func newSlot() -> Int? {
        guard slotCount < Self.slotsMax else { return nil }
        slotCount += 1
        return slotCount - 1
    }

    private func write(_ sequence: UInt64, to slot: Int) -> Bool {
        var writer = FieldWriter(capacity: 8)
        writer.integer(sequence)
        do throws(LogError) {
            try file.writeAll(writer.bytes[...], at: 8 * slot)
            return true
        } catch {
            return false
        }
    }
}
