internal import SegmentedLog
internal import WaybillModel

/// A bundle as a segment's index names it, in 96 bytes.
///
/// Sequence (8), offset and byte count of the record's payload (4 each), bundle id (16), bundle digest
/// (32), received (8), bytes of its parts (8), number of the device in the index (4), where more about
/// its parts stands (4, all ones for one inline part), flags (1), reserved (7).
struct IndexRow: Sendable {
    static let byteCount = 96
    private static let noExtra = UInt32.max
    private static let retryFlag: UInt8 = 1

    let sequence: UInt64
    let bundle: QueuedBundle
    /// In the index's table of devices.
    let device: UInt32

    /// A row, and what does not fit it: its byte count (4), sequence (8), count of parts (4), of names
    /// (4), byte counts of parts (8 each), names of files with their byte count (2) before them.
    static func encode(
        _ bundle: QueuedBundle, sequence: UInt64, device: UInt32, to rows: inout FieldWriter,
        extras: inout FieldWriter
    ) {
        rows.integer(sequence)
        rows.integer(bundle.position.offset)
        rows.integer(bundle.position.byteCount)
        rows.identifier(bundle.key.bundleID)
        rows.digest(bundle.digest)
        rows.integer(bundle.receivedAt.microseconds)
        rows.integer(UInt64(bundle.sizes.total))
        rows.integer(device)
        if bundle.sizes.isOne, bundle.fileNames.isEmpty {
            rows.integer(noExtra)
        } else {
            rows.integer(UInt32(extras.byteCount))
            PartExtra(sizes: bundle.sizes.all, fileNames: bundle.fileNames)
                .encode(sequence, to: &extras)
        }
        rows.integer(bundle.isRetry ? retryFlag : 0)
        rows.zeros(7)
    }

    /// Nil if the bytes are no row.
    ///
    /// - Parameters:
    ///   - devices: asked for the device with a number.
    ///   - extra: asked for what stands at an offset among the extras.
    init?(
        _ bytes: ArraySlice<UInt8>, segment: UInt64,
        devices: (UInt32) throws -> IndexedDevice?, extra: (Int) throws -> PartExtra?
    ) rethrows {
        var reader = FieldReader(bytes)
        guard let sequence = reader.integer(UInt64.self),
            let offset = reader.integer(UInt32.self), let count = reader.integer(UInt32.self),
            let bundleID = reader.identifier(BundleID.self),
            let digest = reader.digest(),
            let received = reader.integer(Int64.self), let size = reader.integer(UInt64.self),
            let device = reader.integer(UInt32.self), let place = reader.integer(UInt32.self),
            let flags = reader.integer(UInt8.self), let known = try devices(device)
        else { return nil }
        var parts = PartExtra(sizes: [Int(size)], fileNames: [])
        if place != Self.noExtra {
            guard let found = try extra(Int(place)) else { return nil }
            parts = found
        }
        self.sequence = sequence
        self.device = device
        bundle = QueuedBundle(
            key: BundleKey(deviceID: known.id, bundleID: bundleID), digest: digest,
            tenant: known.tenant, receivedAt: Timestamp(microseconds: received),
            sizes: PartSizes(parts.sizes),
            position: RecordPosition(segment: segment, offset: offset, byteCount: count),
            fileNames: parts.fileNames, isRetry: flags & Self.retryFlag != 0)
    }

    /// Number of the device in a row's bytes.
    static func device(in bytes: ArraySlice<UInt8>) -> UInt32? {
        var reader = FieldReader(bytes.dropFirst(80))
        return reader.integer(UInt32.self)
    }
}

/// Sizes and files of a bundle's parts, where a row has no room for them.
struct PartExtra: Sendable {
    let sizes: [Int]
    let fileNames: [String]

    init(sizes: [Int], fileNames: [String]) {
        self.sizes = sizes
        self.fileNames = fileNames
    }

    func encode(_ sequence: UInt64, to writer: inout FieldWriter) {
        var content = FieldWriter()
        content.integer(sequence)
        content.integer(UInt32(sizes.count))
        content.integer(UInt32(fileNames.count))
        for size in sizes { content.integer(UInt64(size)) }
        for name in fileNames {
            content.integer(UInt16(clamping: name.utf8.count))
            content.raw(name[...].utf8)
        }
        writer.integer(UInt32(content.byteCount))
        writer.raw(content.bytes)
    }

    /// Nil if the bytes do not begin with such a thing; says whose it is, too.
    init?(_ reader: inout FieldReader, sequence: inout UInt64) {
        guard reader.integer(UInt32.self) != nil, let owner = reader.integer(UInt64.self),
            let partCount = reader.integer(UInt32.self), let nameCount = reader.integer(UInt32.self)
        else { return nil }
        var sizes: [Int] = []
        var names: [String] = []
        for _ in 0..<partCount {
            guard let size = reader.integer(UInt64.self).flatMap({ Int(exactly: $0) }) else {
                return nil
            }
            sizes.append(size)
        }
        for _ in 0..<nameCount {
            guard let count = reader.integer(UInt16.self), let bytes = reader.raw(Int(count)) else {
                return nil
            }
            names.append(String(decoding: bytes, as: UTF8.self))
        }
        sequence = owner
        self.init(sizes: sizes, fileNames: names)
    }
}

/// A device in a segment's index, in 32 bytes: id (16), tenant (4), its first row (4), how many rows
/// (4), reserved (4).
struct IndexedDevice: Sendable {
    static let byteCount = 32

    let id: DeviceID
    let tenant: TenantID
    let firstRow: UInt32
    let rowCount: UInt32

    init(id: DeviceID, tenant: TenantID, firstRow: UInt32, rowCount: UInt32) {
        self.id = id
        self.tenant = tenant
        self.firstRow = firstRow
        self.rowCount = rowCount
    }

    /// Nil if the bytes are none.
    init?(_ bytes: ArraySlice<UInt8>) {
        var reader = FieldReader(bytes)
        guard let id = reader.identifier(DeviceID.self),
            let tenant = reader.integer(Int32.self), let firstRow = reader.integer(UInt32.self),
            let rowCount = reader.integer(UInt32.self)
        else { return nil }
        self.init(id: id, tenant: TenantID(tenant), firstRow: firstRow, rowCount: rowCount)
    }

    func encode(to writer: inout FieldWriter) {
        writer.identifier(id)
        writer.integer(tenant.number)
        writer.integer(firstRow)
        writer.integer(rowCount)
        writer.zeros(4)
    }
}
