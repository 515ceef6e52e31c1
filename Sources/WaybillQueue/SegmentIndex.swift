internal import SegmentedLog
internal import WaybillModel

/// The index of a closed segment: which bundles lie in it, whose they are, and what its settlements
/// say. Made from what the queue knew when the segment was closed, or from its records.
///
/// Sections, integers little-endian: 0 summary: version (4), reserved (4), seed of the hashes (8),
/// first sequence of the bits (8), count of bundles (4), reserved (4), bytes of their parts (8);
/// 1 devices, by id; 2 rows, by device and sequence; 3 hash (4) and row (4) of each bundle id, by hash;
/// 4 filter of the bundle ids; 5 settlements in the order of the log; 6 extras; 7 the bits of the
/// bundles' sequences, and for each bundle in this order its row (4).
struct SegmentIndex: Sendable {
    private enum Section: Int {
        case summary, devices, rows, hashes, filter, settlements, extras, sequences
    }

    private static let version: UInt32 = 1
    private static let summaryByteCount = 40
    private static let extraBytesGuess = 256

    let segment: UInt64
    let bundleCount: Int
    /// Of the parts of all its bundles.
    let byteCount: Int
    private let seed: UInt64
    private let base: UInt64
    private let file: Source

    /// Where its sections are.
    enum Source: Sendable {
        case file(IndexFile)
        /// Until there is room on the disk.
        case memory([[UInt8]])

        var sectionByteCounts: [Int] {
            switch self {
            case .file(let file): file.sectionByteCounts
            case .memory(let sections): sections.map(\.count)
            }
        }

        func read(_ section: Int, _ range: Range<Int>) throws(LogError) -> [UInt8] {
            switch self {
            case .file(let file): try file.read(section, range)
            case .memory(let sections): Array(sections[section][range])
            }
        }

        func read(_ section: Int) throws(LogError) -> [UInt8] {
            try read(section, 0..<sectionByteCounts[section])
        }
    }

    /// Whether it is the same one, and not another of the same segment.
    func isSame(as other: SegmentIndex?) -> Bool { seed == other?.seed }

    /// Its sections, while they are not on disk.
    var unwritten: [[UInt8]]? {
        if case .memory(let sections) = file { sections } else { nil }
    }

    // MARK: Making

    /// What goes into an index file.
    struct Draft {
        let sections: [[UInt8]]
        let devices: [IndexedDevice]
        let filter: BundleFilter
    }

    /// - Parameters:
    ///   - bundles: with their sequences, in rising order.
    ///   - first: no bundle of the segment has a lower sequence.
    static func draft(
        _ bundles: [(sequence: UInt64, bundle: QueuedBundle)], from first: UInt64,
        settlements: [IndexedSettlement]
    ) -> Draft {
        var generator = SystemRandomNumberGenerator()
        let seed = generator.next()
        let order = bundles.enumerated().map { index, entry in
            (high: entry.bundle.key.deviceID.high, low: entry.bundle.key.deviceID.low, index)
        }.sorted { ($0.high, $0.low, $0.2) < ($1.high, $1.low, $1.2) }
        var rows = FieldWriter(capacity: IndexRow.byteCount * bundles.count)
        var extras = FieldWriter()
        var devices: [IndexedDevice] = []
        var hashes: [(hash: UInt32, row: UInt32)] = []
        var filter = BloomBlocks(itemsMax: bundles.count)
        var bits = SequenceBits(from: first)
        var rowOf = [UInt32](repeating: 0, count: bundles.count)
        var bytes = 0
        for (row, (_, _, index)) in order.enumerated() {
            let (sequence, bundle) = bundles[index]
            if devices.last?.id == bundle.key.deviceID, let last = devices.popLast() {
                devices.append(
                    IndexedDevice(
                        id: last.id, tenant: last.tenant, firstRow: last.firstRow,
                        rowCount: last.rowCount + 1))
            } else {
                devices.append(
                    IndexedDevice(
                        id: bundle.key.deviceID, tenant: bundle.tenant, firstRow: UInt32(row),
                        rowCount: 1))
            }
            IndexRow.encode(
                bundle, sequence: sequence, device: UInt32(devices.count - 1), to: &rows,
                extras: &extras)
            let hash = BundleHash.of(bundle.key.bundleID, seed: seed)
            hashes.append((UInt32(truncatingIfNeeded: hash), UInt32(row)))
            filter.insert(hash)
            bits.insert(sequence)
            rowOf[index] = UInt32(row)
            bytes += bundle.sizes.total
        }
        hashes.sort { ($0.hash, $0.row) < ($1.hash, $1.row) }
        var summary = FieldWriter(capacity: summaryByteCount)
        summary.integer(version)
        summary.zeros(4)
        summary.integer(seed)
        summary.integer(bits.base)
        summary.integer(UInt32(bundles.count))
        summary.zeros(4)
        summary.integer(UInt64(bytes))
        var devicePart = FieldWriter(capacity: IndexedDevice.byteCount * devices.count)
        for device in devices { device.encode(to: &devicePart) }
        var hashPart = FieldWriter(capacity: 8 * hashes.count)
        for (hash, row) in hashes {
            hashPart.integer(hash)
            hashPart.integer(row)
        }
        var settlementPart = FieldWriter(capacity: IndexedSettlement.byteCount * settlements.count)
        for settlement in settlements { settlement.encode(to: &settlementPart) }
        var sequencePart = FieldWriter(capacity: 5 * bundles.count)
        let bitBytes = bits.bytes
        sequencePart.integer(UInt32(bitBytes.count))
        sequencePart.raw(bitBytes)
        for row in rowOf { sequencePart.integer(row) }
        return Draft(
            sections: [
                summary.bytes, devicePart.bytes, rows.bytes, hashPart.bytes, filter.bytes,
                settlementPart.bytes, extras.bytes, sequencePart.bytes,
            ], devices: devices, filter: BundleFilter(blocks: filter, seed: seed))
    }

    // MARK: Reading

    /// Nil for an index of another version.
    init?(_ file: Source, of segment: UInt64) throws(LogError) {
        let counts = file.sectionByteCounts
        guard counts[Section.summary.rawValue] == Self.summaryByteCount else { return nil }
        var reader = FieldReader(try file.read(Section.summary.rawValue)[...])
        guard reader.integer(UInt32.self) == Self.version, reader.integer(UInt32.self) == 0,
            let seed = reader.integer(UInt64.self), let base = reader.integer(UInt64.self),
            let count = reader.integer(UInt32.self), reader.integer(UInt32.self) == 0,
            let bytes = reader.integer(UInt64.self),
            counts[Section.rows.rawValue] == IndexRow.byteCount * Int(count)
        else { return nil }
        self.segment = segment
        self.seed = seed
        self.base = base
        bundleCount = Int(count)
        byteCount = Int(bytes)
        self.file = file
    }

    func readDevices() throws(LogError) -> [IndexedDevice] {
        let bytes = try file.read(Section.devices.rawValue)
        return stride(from: 0, to: bytes.count, by: IndexedDevice.byteCount).compactMap {
            IndexedDevice(bytes[$0..<$0 + IndexedDevice.byteCount])
        }
    }

    /// Which bundle ids may be in it.
    func readFilter() throws(LogError) -> BundleFilter {
        guard let blocks = BloomBlocks(try file.read(Section.filter.rawValue)) else {
            throw .damaged(segment: segment, offset: 0)
        }
        return BundleFilter(blocks: blocks, seed: seed)
    }

    /// The sequences of its bundles.
    func readSequences() throws(LogError) -> SequenceBits {
        var count = FieldReader(try file.read(Section.sequences.rawValue, 0..<4)[...])
        let bitCount = Int(count.integer(UInt32.self) ?? 0)
        return SequenceBits(
            base: base, try file.read(Section.sequences.rawValue, 4..<4 + bitCount))
    }

    func readSettlements() throws(LogError) -> [IndexedSettlement] {
        let bytes = try file.read(Section.settlements.rawValue)
        return stride(from: 0, to: bytes.count, by: IndexedSettlement.byteCount).compactMap {
            IndexedSettlement(bytes[$0..<$0 + IndexedSettlement.byteCount])
        }
    }

    /// Names of the files of bundles that `isWanted` says yes to.
    func readFileNames(where isWanted: (UInt64) -> Bool) throws(LogError) -> [String] {
        var reader = FieldReader(try file.read(Section.extras.rawValue)[...])
        var names: [String] = []
        var sequence: UInt64 = 0
        while let extra = PartExtra(&reader, sequence: &sequence) {
            if isWanted(sequence) { names += extra.fileNames }
        }
        return names
    }

    /// Rows of one device from a row on, at most `limit` of them.
    ///
    /// - Returns: the rows, and the row to go on from; nil at the end of the device's.
    func readRows(
        of device: DeviceID, tenant: TenantID, from row: Int, limit: Int
    ) throws(LogError) -> (rows: [IndexRow], next: Int?) {
        let end = min(bundleCount, row + limit + 1)
        let bytes = try file.read(
            Section.rows.rawValue, row * IndexRow.byteCount..<end * IndexRow.byteCount)
        guard let number = IndexRow.device(in: bytes[...]) else { return ([], nil) }
        let known = IndexedDevice(id: device, tenant: tenant, firstRow: 0, rowCount: 0)
        var rows: [IndexRow] = []
        for index in row..<end {
            let start = (index - row) * IndexRow.byteCount
            let content = bytes[start..<start + IndexRow.byteCount]
            guard IndexRow.device(in: content) == number else { return (rows, nil) }
            if rows.count == limit { return (rows, index) }
            rows.append(try decode(content) { _ in known })
        }
        return (rows, nil)
    }

    /// All rows of bundles with this id, of whatever device.
    func readRows(of bundleID: BundleID) throws(LogError) -> [IndexRow] {
        let hash = UInt32(truncatingIfNeeded: BundleHash.of(bundleID, seed: seed))
        var rows: [IndexRow] = []
        for number in try rowNumbers(hash) {
            let row = try readRow(Int(number))
            if row.bundle.key.bundleID == bundleID { rows.append(row) }
        }
        return rows
    }

    /// The row of a bundle; nil if it is not in this segment.
    func readRow(of sequence: UInt64) throws(LogError) -> IndexRow? {
        let bits = try readSequences()
        guard bits.contains(sequence) else { return nil }
        let start = 4 + bits.bytes.count + 4 * bits.rank(of: sequence)
        var reader = FieldReader(
            try file.read(Section.sequences.rawValue, start..<start + 4)[...])
        let row = try readRow(Int(reader.integer(UInt32.self) ?? 0))
        return row.sequence == sequence ? row : nil
    }

    /// All rows, in pieces.
    func forEachRow(_ body: (IndexRow) -> Void) throws(LogError) {
        let devices = try readDevices()
        for start in stride(from: 0, to: bundleCount, by: 4096) {
            let end = min(bundleCount, start + 4096)
            let bytes = try file.read(
                Section.rows.rawValue, start * IndexRow.byteCount..<end * IndexRow.byteCount)
            for place in stride(from: 0, to: bytes.count, by: IndexRow.byteCount) {
                body(
                    try decode(bytes[place..<place + IndexRow.byteCount]) { number in
                        devices.indices.contains(Int(number)) ? devices[Int(number)] : nil
                    })
            }
        }
    }

    private func readRow(_ number: Int) throws(LogError) -> IndexRow {
        let start = number * IndexRow.byteCount
        let bytes = try file.read(Section.rows.rawValue, start..<start + IndexRow.byteCount)
        let device = try IndexRow.device(in: bytes[...]).map { number throws(LogError) in
            try readDevice(Int(number))
        }
        return try decode(bytes[...]) { _ in device ?? nil }
    }

    private func readDevice(_ number: Int) throws(LogError) -> IndexedDevice? {
        let start = number * IndexedDevice.byteCount
        return IndexedDevice(
            try file.read(Section.devices.rawValue, start..<start + IndexedDevice.byteCount)[...])
    }

    private func decode(
        _ bytes: ArraySlice<UInt8>, _ devices: (UInt32) -> IndexedDevice?
    ) throws(LogError) -> IndexRow {
        let row = try LogError.catching {
            try IndexRow(bytes, segment: segment, devices: devices, extra: { try readExtra($0) })
        }
        guard let row else { throw .damaged(segment: segment, offset: 0) }
        return row
    }

    private func readExtra(_ offset: Int) throws(LogError) -> PartExtra? {
        let end = file.sectionByteCounts[Section.extras.rawValue]
        guard offset + 4 <= end else { return nil }
        // One read, but for those with many parts or long names.
        var bytes = try file.read(
            Section.extras.rawValue, offset..<min(end, offset + Self.extraBytesGuess))
        var count = FieldReader(bytes[...])
        let byteCount = 4 + Int(count.integer(UInt32.self) ?? 0)
        guard offset + byteCount <= end else { return nil }
        if byteCount > bytes.count {
            bytes = try file.read(Section.extras.rawValue, offset..<offset + byteCount)
        }
        var reader = FieldReader(bytes.prefix(byteCount))
        var owner: UInt64 = 0
        return PartExtra(&reader, sequence: &owner)
    }

    /// How far a hash of 60,000 stands from its guessed place, two times its standard deviation.
    private static let reachMin = 256

    /// Where a hash stands among so many that are spread evenly.
    static func guessedPlace(of hash: UInt32, among count: Int) -> Int {
        Int((UInt64(hash) * UInt64(count)) >> 32)
    }

    /// Hashes are spread evenly, so their places can be guessed.
    private func rowNumbers(_ hash: UInt32) throws(LogError) -> [UInt32] {
        guard bundleCount > 0 else { return [] }
        let guess = Self.guessedPlace(of: hash, among: bundleCount)
        var reach = Self.reachMin
        while true {
            let low = max(0, guess - reach)
            let high = min(bundleCount, guess + reach)
            let bytes = try file.read(Section.hashes.rawValue, 8 * low..<8 * high)
            var reader = FieldReader(bytes[...])
            var found: [UInt32] = []
            var first: UInt32?
            var last: UInt32 = 0
            while let each = reader.integer(UInt32.self), let row = reader.integer(UInt32.self) {
                if each == hash { found.append(row) }
                first = first ?? each
                last = each
            }
            let isCovered =
                (low == 0 || (first ?? 0) < hash) && (high == bundleCount || last > hash)
            if isCovered { return found }
            reach *= 4
        }
    }
}

/// What a settlement in a segment says of one bundle, in 40 bytes: sequence (8), time (8), bytes of
/// its parts (8), attempts (4), what became of it (1), reserved (3), sequence of the record (8).
struct IndexedSettlement: Sendable {
    static let byteCount = 40

    let entry: SettlementRecord.Entry
    let time: Timestamp
    /// Of the bundle's parts.
    let bytes: Int
    /// Sequence of the record that says so.
    let record: UInt64

    init(entry: SettlementRecord.Entry, time: Timestamp, bytes: Int, record: UInt64) {
        self.entry = entry
        self.time = time
        self.bytes = bytes
        self.record = record
    }

    /// Nil if the bytes are none.
    init?(_ content: ArraySlice<UInt8>) {
        var reader = FieldReader(content)
        guard let sequence = reader.integer(UInt64.self), let time = reader.integer(Int64.self),
            let bytes = reader.integer(UInt64.self), let attempts = reader.integer(UInt32.self),
            let outcome = reader.integer(UInt8.self)
                .flatMap({ SettlementRecord.Outcome(rawValue: $0) }),
            reader.raw(3) != nil, let record = reader.integer(UInt64.self)
        else { return nil }
        self.record = record
        entry = SettlementRecord.Entry(
            sequence: sequence, outcome: outcome, attempts: Int(attempts))
        self.time = Timestamp(microseconds: time)
        self.bytes = Int(bytes)
    }

    func encode(to writer: inout FieldWriter) {
        writer.integer(entry.sequence)
        writer.integer(time.microseconds)
        writer.integer(UInt64(bytes))
        writer.integer(UInt32(clamping: entry.attempts))
        writer.integer(entry.outcome.rawValue)
        writer.zeros(3)
        writer.integer(record)
    }
}

/// A segment's filter of bundle ids.
struct BundleFilter: Sendable {
    let blocks: BloomBlocks
    let seed: UInt64

    func mayHold(_ bundleID: BundleID) -> Bool {
        blocks.contains(BundleHash.of(bundleID, seed: seed))
    }
}

/// Hashes of bundle ids that are the same in every process; nobody outside knows the seed.
enum BundleHash {
    static func of(_ bundleID: BundleID, seed: UInt64) -> UInt64 {
        mix(mix(bundleID.high ^ seed) ^ bundleID.low)
    }

    /// The finishing steps of SplitMix64.
    private static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value &+ 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

extension LogError {
    /// Runs calls that throw nothing but a ``LogError``.
    static func catching<Result>(_ body: () throws -> Result) throws(LogError) -> Result {
        do {
            return try body()
        } catch let error as LogError {
            throw error
        } catch {
            throw .io(errno: 0, operation: "\(error)")
        }
    }
}
