internal import SegmentedLog
package import WaybillModel

/// A bundle that was acknowledged and whose bytes are not what they were: its device is to send it
/// again.
package struct LostBundle: Sendable, Equatable {
    package let key: BundleKey
    package let tenant: TenantID
    package let bundleDigest: Digest256
    /// Its number in the log.
    package let sequence: UInt64
    /// Of its parts.
    package let byteCount: Int
    package let receivedAt: Timestamp
    /// When the damage was found.
    package let foundAt: Timestamp

    package init(
        key: BundleKey, tenant: TenantID, bundleDigest: Digest256, sequence: UInt64,
        byteCount: Int, receivedAt: Timestamp, foundAt: Timestamp
    ) {
        self.key = key
        self.tenant = tenant
        self.bundleDigest = bundleDigest
        self.sequence = sequence
        self.byteCount = byteCount
        self.receivedAt = receivedAt
        self.foundAt = foundAt
    }

    init(_ bundle: QueuedBundle, sequence: UInt64, foundAt: Timestamp) {
        self.init(
            key: bundle.key, tenant: bundle.tenant, bundleDigest: bundle.digest,
            sequence: sequence, byteCount: bundle.sizes.total, receivedAt: bundle.receivedAt,
            foundAt: foundAt)
    }

    init(_ name: BundleName, sequence: UInt64, foundAt: Timestamp) {
        self.init(
            key: name.key, tenant: name.tenant, bundleDigest: name.digest, sequence: sequence,
            byteCount: name.sizeOfParts, receivedAt: name.receivedAt, foundAt: foundAt)
    }

    var entry: BundleEntry {
        BundleEntry(
            state: .lost, bundleDigest: bundleDigest, partByteCounts: [byteCount],
            receivedAt: receivedAt)
    }
}

/// Bundles whose bytes were found damaged and that were not sent again yet: the device that asks is
/// to hear of it, however late, and so is the operator.
struct LostBundles: Sendable {
    private let entriesMax: Int
    private var entries: [BundleKey: LostBundle] = [:]
    /// Oldest first; also of those that were sent again meanwhile.
    private var order = Line<(key: BundleKey, sequence: UInt64)>()
    /// Rises with every change.
    private(set) var version = 0

    /// - Parameter entriesMax: beyond it the oldest is forgotten.
    init(entriesMax: Int) {
        self.entriesMax = entriesMax
    }

    subscript(key: BundleKey) -> LostBundle? { entries[key] }

    var count: Int { entries.count }

    /// Oldest first.
    var all: [LostBundle] { entries.values.sorted { $0.sequence < $1.sequence } }

    mutating func add(_ bundle: LostBundle) {
        version += 1
        entries[bundle.key] = bundle
        order.append((bundle.key, bundle.sequence))
        while order.count > entriesMax, let oldest = order.popFirst() {
            guard entries[oldest.key]?.sequence == oldest.sequence else { continue }
            entries[oldest.key] = nil
        }
    }

    /// What is written down is to be written anew.
    mutating func touch() {
        version += 1
    }

    /// The bundle was sent again.
    mutating func remove(_ key: BundleKey) {
        if entries.removeValue(forKey: key) != nil { version += 1 }
    }
}

/// The file that remembers lost bundles when the segments that held them are gone, and that those
/// that were sent again are lost no more.
///
/// Section 0: sequence of the last record that speaks of a loss and that it heeds (8). Section 1: for
/// each bundle, its ``BundleName``, sequence (8), when it was found lost (8).
struct LossFile: Sendable {
    static let fileName = "lost"
    private static let rowByteCount = BundleName.byteCount + 16

    let log: SegmentedLog

    /// Durable on return. Blocks.
    func write(_ bundles: [LostBundle], through last: UInt64) throws(LogError) {
        var head = FieldWriter(capacity: 8)
        head.integer(last)
        var writer = FieldWriter(capacity: Self.rowByteCount * bundles.count)
        for bundle in bundles {
            BundleName(bundle).encode(to: &writer)
            writer.integer(bundle.sequence)
            writer.integer(bundle.foundAt.microseconds)
        }
        try log.writeSealed([head.bytes, writer.bytes], named: Self.fileName)
    }

    /// Nothing where there is no such file, or it is damaged.
    func read() throws(LogError) -> (bundles: [LostBundle], last: UInt64) {
        do throws(LogError) {
            guard let file = try log.readSealed(Self.fileName) else { return ([], 0) }
            var head = FieldReader(try file.read(0)[...])
            let bytes = try file.read(1)
            let bundles = stride(from: 0, to: bytes.count, by: Self.rowByteCount).compactMap {
                LostBundle(bytes[$0..<min($0 + Self.rowByteCount, bytes.count)])
            }
            return (bundles, head.integer(UInt64.self) ?? 0)
        } catch {
            if case .damaged = error { return ([], 0) }
            throw error
        }
    }
}

extension LostBundle {
    fileprivate init?(_ bytes: ArraySlice<UInt8>) {
        var reader = FieldReader(bytes)
        guard let name = BundleName(&reader), let sequence = reader.integer(UInt64.self),
            let found = reader.integer(Int64.self)
        else { return nil }
        self.init(name, sequence: sequence, foundAt: Timestamp(microseconds: found))
    }
}
