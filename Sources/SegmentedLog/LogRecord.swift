/// Where a record lies.
package struct RecordPosition: Sendable, Hashable {
    package let segment: UInt64
    /// Of the frame, from the beginning of the segment's file.
    package let offset: UInt32
    /// Of the payload.
    package let byteCount: UInt32

    package init(segment: UInt64, offset: UInt32, byteCount: UInt32) {
        self.segment = segment
        self.offset = offset
        self.byteCount = byteCount
    }

    /// Where the frame ends.
    var frameEnd: UInt64 {
        UInt64(offset) + UInt64(FrameHeader.byteCount + FrameHeader.tagByteCount)
            + UInt64(byteCount)
    }
}

/// What a caller hears of its record, once that is synced.
package struct AppendedRecord: Sendable, Hashable {
    /// Unique in the log, and higher than that of every record appended before.
    package let sequence: UInt64
    package let position: RecordPosition
    /// No other record of the same sync is completed after this one.
    package var endsBatch = false
}

/// A record as it was read.
package struct LogRecord: Sendable, Equatable {
    package let sequence: UInt64
    package let type: UInt16
    package let payload: [UInt8]
    package let position: RecordPosition
}

/// Which records find room when the disk is full.
package enum RecordClass: Sendable {
    /// New work: refused with ``LogError/diskFull``.
    case bulk
    /// What frees space in the end: never refused for want of space; it uses the reserve, or waits.
    /// After a crash it may be found twice, under two sequences, or although it still waited.
    case control
}

/// Types that belong to the log itself.
enum InternalType {
    static let first: UInt16 = 0xff00
    static let manifest: UInt16 = 0xff01
    static let deletion: UInt16 = 0xff02
    static let closing: UInt16 = 0xff03
    static let names: UInt16 = 0xff04
}

/// The segments that existed when a segment was begun.
struct Manifest: Sendable, Equatable {
    struct Entry: Sendable, Equatable {
        let segment: UInt64
        /// Where its records end.
        let end: UInt64
        /// It is not what it was written as first.
        var isRewritten = false
    }

    /// In the field of a rewritten segment's end.
    private static let rewrittenBit: UInt64 = 1 << 63

    var entries: [Entry]

    func encode() -> [UInt8] {
        var writer = FieldWriter(capacity: 4 + 16 * entries.count)
        writer.integer(UInt32(entries.count))
        for entry in entries {
            writer.integer(entry.segment)
            writer.integer(entry.end | (entry.isRewritten ? Self.rewrittenBit : 0))
        }
        return writer.bytes
    }

    init(entries: [Entry]) {
        self.entries = entries
    }

    /// Nil if the bytes are not a manifest.
    init?(_ payload: [UInt8]) {
        var reader = FieldReader(payload[...])
        guard let count = reader.integer(UInt32.self) else { return nil }
        var entries: [Entry] = []
        for _ in 0..<count {
            guard let segment = reader.integer(UInt64.self), let end = reader.integer(UInt64.self)
            else { return nil }
            entries.append(
                Entry(
                    segment: segment, end: end & ~Self.rewrittenBit,
                    isRewritten: end & Self.rewrittenBit != 0))
        }
        guard reader.isAtEnd else { return nil }
        self.entries = entries
    }
}

/// The payload of a deletion record.
enum DeletionList {
    static func byteCount(of segments: [UInt64]) -> Int { 4 + 8 * segments.count }

    static func encode(_ segments: [UInt64]) -> [UInt8] {
        var writer = FieldWriter(capacity: byteCount(of: segments))
        writer.integer(UInt32(segments.count))
        for segment in segments { writer.integer(segment) }
        return writer.bytes
    }

    /// Nil if the bytes are not a list of segments.
    static func decode(_ payload: [UInt8]) -> [UInt64]? {
        var reader = FieldReader(payload[...])
        guard let count = reader.integer(UInt32.self) else { return nil }
        var segments: [UInt64] = []
        for _ in 0..<count {
            guard let segment = reader.integer(UInt64.self) else { return nil }
            segments.append(segment)
        }
        return reader.isAtEnd ? segments : nil
    }
}
