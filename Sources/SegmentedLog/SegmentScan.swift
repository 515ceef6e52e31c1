#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Finds the good records in one segment's bytes and the holes between them.
struct SegmentScan {
    struct Hole: Equatable {
        let bytes: Range<UInt64>
        /// Between the good records on both sides; nil behind the last.
        let sequences: Range<UInt64>?
    }

    /// Where the last good record ends.
    private(set) var end = UInt64(SegmentHeader.recordsOffset)
    private(set) var holes: [Hole] = []
    private(set) var records = 0
    /// Highest sequence seen; the one before the segment's first at the beginning.
    private(set) var lastSequence: UInt64
    /// All before this offset is known to have been synced.
    private(set) var syncedThrough = UInt64(SegmentHeader.recordsOffset)
    /// True when the last record says that the log was closed in order.
    private(set) var isClosed = false

    private let segment: UInt64
    private let cipher: SegmentCipher
    private var nextOrdinal: UInt64 = 0
    /// Numbers that were passed over, without a hole, before the last good records.
    private var lastGap: Range<UInt64>?
    /// For each hole, whether a good record behind it was written after it was synced.
    private var syncedHoles: [Bool] = []

    init(segment: UInt64, cipher: SegmentCipher, firstSequence: UInt64) {
        self.segment = segment
        self.cipher = cipher
        lastSequence = firstSequence - 1
    }

    /// Holes that no sync had covered, as far as the good records tell.
    var unsyncedHoles: [Hole] {
        zip(holes, syncedHoles).filter { !$0.1 }.map(\.0)
    }

    var syncedHoleList: [Hole] {
        zip(holes, syncedHoles).filter(\.1).map(\.0)
    }

    /// Reads `bytes`, the file's content from the first record on.
    ///
    /// - Parameter limit: where the records are known to end; without it zeros at the end count as
    ///   room that was never used.
    mutating func run(
        _ bytes: [UInt8], limit: UInt64?, _ handle: (LogRecord) throws -> Void
    ) rethrows {
        let base = SegmentHeader.recordsOffset
        let used = limit == nil ? ByteSearch.countWithoutTrailingZeros(bytes) : bytes.count
        var position = 0
        var holeStart: Int?
        while position < used {
            guard let (header, payload) = record(in: bytes, at: position) else {
                holeStart = holeStart ?? position
                position =
                    ByteSearch.next(FrameHeader.marker[0], in: bytes, after: position) ?? used
                continue
            }
            if let start = holeStart {
                close(hole: start..<position, before: header.sequence)
                holeStart = nil
            }
            let offset = UInt32(base + position)
            accept(header, endingAt: UInt64(base + position + header.frameByteCount))
            if header.type < InternalType.first {
                records += 1
            }
            try handle(
                LogRecord(
                    sequence: header.sequence, type: header.type, payload: payload,
                    position: RecordPosition(
                        segment: segment, offset: offset, byteCount: header.payloadByteCount)))
            position += header.frameByteCount
        }
        if let start = holeStart {
            close(hole: start..<max(used, start + 1), before: nil)
        }
        // What is missing for these may have stood behind the last good record.
        for (index, hole) in holes.enumerated() where hole.sequences?.isEmpty == true {
            holes[index] = Hole(bytes: hole.bytes, sequences: nil)
        }
    }

    private func record(
        in bytes: [UInt8], at position: Int
    ) -> (FrameHeader, [UInt8])? {
        let rest = bytes[position...]
        guard let header = FrameHeader(rest), rest.count >= header.frameByteCount,
            UInt64(header.ordinal) >= nextOrdinal, header.sequence > lastSequence,
            Int(header.synced) <= SegmentHeader.recordsOffset + position,
            let payload = cipher.open(rest.prefix(header.frameByteCount), header, at: .scan)
        else { return nil }
        return (header, payload)
    }

    private mutating func accept(_ header: FrameHeader, endingAt end: UInt64) {
        self.end = end
        let isBehindHole = holes.last?.bytes.upperBound == end - UInt64(header.frameByteCount)
        if header.sequence > lastSequence + 1, !isBehindHole {
            let gap = lastSequence + 1..<header.sequence
            if let hole = holes.last, hole.sequences?.isEmpty == true {
                // What stands in the hole before belongs here, and is no other hole's.
                holes[holes.count - 1] = Hole(bytes: hole.bytes, sequences: gap)
            } else {
                lastGap = gap
            }
        }
        lastSequence = header.sequence
        nextOrdinal = UInt64(header.ordinal) + 1
        syncedThrough = max(syncedThrough, UInt64(header.synced))
        isClosed = header.type == InternalType.closing
        for (index, hole) in holes.enumerated() where syncedThrough > hole.bytes.lowerBound {
            syncedHoles[index] = true
        }
    }

    private mutating func close(hole: Range<Int>, before sequence: UInt64?) {
        let base = UInt64(SegmentHeader.recordsOffset)
        var sequences = sequence.map { lastSequence + 1..<max($0, lastSequence + 1) }
        // Nothing is missing here: what stands here belongs further up.
        if sequences?.isEmpty == true, let gap = lastGap {
            sequences = gap
            lastGap = nil
        }
        let range = base + UInt64(hole.lowerBound)..<base + UInt64(hole.upperBound)
        holes.append(Hole(bytes: range, sequences: sequences))
        syncedHoles.append(false)
    }
}

/// Searches in large byte arrays at the speed of the C library.
enum ByteSearch {
    /// Index of the first `byte` behind `position`.
    static func next(_ byte: UInt8, in bytes: [UInt8], after position: Int) -> Int? {
        guard position + 1 < bytes.count else { return nil }
        return unsafe bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress,
                let found = unsafe memchr(
                    base + position + 1, Int32(byte), buffer.count - position - 1)
            else { return nil }
            return unsafe UnsafeRawPointer(found) - base
        }
    }

    static func countWithoutTrailingZeros(_ bytes: [UInt8]) -> Int {
        let block = 4096
        let zeros = [UInt8](repeating: 0, count: block)
        var count = bytes.count
        unsafe bytes.withUnsafeBytes { buffer in
            unsafe zeros.withUnsafeBytes { zeros in
                guard let base = buffer.baseAddress, let zero = zeros.baseAddress else { return }
                while count >= block, unsafe memcmp(base + count - block, zero, block) == 0 {
                    count -= block
                }
            }
        }
        while count > 0, bytes[count - 1] == 0 { count -= 1 }
        return count
    }
}
