/// A record that is gone, and what a later one says that it was.
package struct LostRecord: Sendable, Equatable {
    package let sequence: UInt64
    /// As it was given to ``SegmentedLog/SegmentedLog/append(type:payload:name:recordClass:completion:)``.
    package let name: [UInt8]
}

/// The payload of a names record: what the records of the batch before were called, so that damage in
/// a segment that has no index yet can be told by name.
///
/// Of each the sequence (8), the name's length (2), and the name.
enum RecordNames {
    /// Of each name.
    static let overhead = 10

    static func encode(_ names: [LostRecord]) -> [UInt8] {
        var writer = FieldWriter(capacity: names.reduce(0) { $0 + overhead + $1.name.count })
        for each in names {
            writer.integer(each.sequence)
            writer.integer(UInt16(each.name.count))
            writer.raw(each.name)
        }
        return writer.bytes
    }

    /// As many as there are.
    static func decode(_ payload: [UInt8]) -> [LostRecord] {
        var reader = FieldReader(payload[...])
        var names: [LostRecord] = []
        while let sequence = reader.integer(UInt64.self), let count = reader.integer(UInt16.self),
            let name = reader.raw(Int(count))
        {
            names.append(LostRecord(sequence: sequence, name: Array(name)))
        }
        return names
    }
}

/// Finds records that are named and not there, while segments are read one after the other.
struct MissingRecords {
    private(set) var found: [LostRecord] = []
    /// Numbers that no record has that was read.
    private var gaps: [Range<UInt64>] = []
    private var next: UInt64?
    /// Of a segment that was written anew, which names all that was left in it: what was read, and
    /// what it names.
    private var rewritten: (seen: Set<UInt64>, named: [LostRecord])?

    /// A segment is read.
    ///
    /// - Parameter follows: the one before it was read just now, too.
    mutating func begin(firstSequence: UInt64, follows: Bool) {
        guard !follows || next == nil else { return }
        next = firstSequence
        gaps = []
    }

    /// A segment is not read.
    mutating func skip() {
        next = nil
        gaps = []
    }

    /// A segment is read that was written anew: gaps in it say nothing.
    mutating func beginRewritten() {
        skip()
        rewritten = ([], [])
    }

    /// The segment that was begun has been read.
    mutating func end() {
        guard let (seen, named) = rewritten else { return }
        found += named.filter { !seen.contains($0.sequence) }
        rewritten = nil
    }

    mutating func take(_ record: LogRecord) {
        if rewritten != nil {
            rewritten?.seen.insert(record.sequence)
            guard record.type == InternalType.names else { return }
            rewritten?.named += RecordNames.decode(record.payload)
            return
        }
        guard let expected = next else { return }
        if record.sequence > expected { gaps.append(expected..<record.sequence) }
        next = max(expected, record.sequence + 1)
        guard record.type == InternalType.names, !gaps.isEmpty else { return }
        found += RecordNames.decode(record.payload).filter { named in
            gaps.contains { $0.contains(named.sequence) }
        }
    }
}
