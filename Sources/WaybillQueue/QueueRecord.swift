internal import SegmentedLog
internal import WaybillModel

/// The queue's records in the log, and their form. Integers are little-endian.
///
/// Every record begins with a version byte. Type 1, version 1, a bundle: reserved (8), tenant (4),
/// slug, device id (16), bundle id (16), epoch (8, signed, the lowest value for none), bundle
/// digest (32), started and received (8 each, microseconds since 1970), source, count of parts
/// (4), then for each part: digest (32), byte count (8), where it lies (1): 0 and the bytes, or 1
/// and a file's name. Texts have their byte count (2) before them; 0xffff says: no text.
/// Type 1, version 2, a dead letter tried again: as version 1, but after the reserved bytes the dead
/// letter's id (16) and the number of its receipt (8); a part may also be 2 and a sealed file's name.
/// Type 2, version 2, a settlement: time (8), count (4), then for each bundle: its sequence (8),
/// what became of it (1), attempts charged so far (4), bytes of its parts (8). Version 1 had no bytes.
enum QueueRecord {
    static let bundleType: UInt16 = 1
    static let settlementType: UInt16 = 2
    private static let version: UInt8 = 1
    private static let retryVersion: UInt8 = 2
    private static let noText: UInt16 = 0xffff
    private static let textBytesMax = 4096

    static func encode(_ message: BundleMessage) -> [UInt8] {
        var writer = FieldWriter(capacity: byteCount(of: message))
        writer.integer(message.retryOf == nil ? version : retryVersion)
        writer.zeros(8)
        if let retry = message.retryOf {
            writer.raw(retry.deadLetterID.bytes)
            writer.integer(retry.receiptSeq)
        }
        writer.integer(message.tenant.number)
        write(message.tenantSlug.text, to: &writer)
        writer.identifier(message.deviceID)
        writer.identifier(message.bundleID)
        writer.integer(message.epoch.map { Int64($0) } ?? .min)
        writer.digest(message.bundleDigest)
        writer.integer(message.startedAt.microseconds)
        writer.integer(message.receivedAt.microseconds)
        write(message.source, to: &writer)
        writer.integer(UInt32(message.parts.count))
        for part in message.parts {
            writer.digest(part.digest)
            writer.integer(UInt64(part.byteCount))
            switch part.location {
            case .inline(let bytes):
                writer.integer(UInt8(0))
                writer.raw(bytes)
            case .file(let name):
                writer.integer(UInt8(1))
                write(name, to: &writer)
            case .deadLetter(let name):
                writer.integer(UInt8(2))
                write(name, to: &writer)
            }
        }
        return writer.bytes
    }

    /// Of the message's record.
    private static func byteCount(of message: BundleMessage) -> Int {
        let fixed = 105 + (message.retryOf == nil ? 0 : 24)
        let texts = byteCount(of: message.tenantSlug.text) + byteCount(of: message.source)
        return message.parts.reduce(fixed + texts) { sum, part in
            switch part.location {
            case .inline(let bytes): sum + 41 + bytes.count
            case .file(let name), .deadLetter(let name): sum + 41 + byteCount(of: name)
            }
        }
    }

    private static func byteCount(of text: String?) -> Int {
        2 + min(text?.utf8.count ?? 0, textBytesMax)
    }

    /// Nil if the payload is not a bundle of a version that this program knows.
    ///
    /// - Parameter withBytes: false leaves inline bytes out; the parts' byte counts are right.
    static func decodeBundle(_ payload: [UInt8], withBytes: Bool) -> BundleMessage? {
        var reader = FieldReader(payload[...])
        guard let version = reader.integer(UInt8.self),
            version == Self.version || version == retryVersion,
            reader.integer(UInt64.self) == 0,
            let retryOf = readRetry(&reader, isThere: version == retryVersion),
            let tenant = reader.integer(Int32.self),
            let slug = readText(&reader)?.flatMap({ TenantSlug($0) }),
            let deviceID = reader.identifier(DeviceID.self),
            let bundleID = reader.identifier(BundleID.self),
            let epoch = reader.integer(Int64.self),
            let digest = reader.digest(),
            let startedAt = reader.integer(Int64.self),
            let receivedAt = reader.integer(Int64.self), let source = readText(&reader),
            let count = reader.integer(UInt32.self)
        else { return nil }
        var parts: [PartContent] = []
        for _ in 0..<count {
            guard let part = readPart(&reader, withBytes: withBytes) else { return nil }
            parts.append(part)
        }
        guard reader.isAtEnd else { return nil }
        return BundleMessage(
            tenant: TenantID(tenant), tenantSlug: slug, deviceID: deviceID, bundleID: bundleID,
            epoch: epoch == .min ? nil : Int(epoch), bundleDigest: digest, parts: parts,
            startedAt: Timestamp(microseconds: startedAt),
            receivedAt: Timestamp(microseconds: receivedAt), source: source, retryOf: retryOf)
    }

    /// Nil at the end of the bytes, a nil inside where the version has none.
    private static func readRetry(
        _ reader: inout FieldReader, isThere: Bool
    ) -> BundleMessage.RetryOf?? {
        guard isThere else { return .some(nil) }
        guard let id = reader.raw(16).flatMap({ DeadLetterID(bytes: $0) }),
            let receiptSeq = reader.integer(Int64.self)
        else { return nil }
        return BundleMessage.RetryOf(deadLetterID: id, receiptSeq: receiptSeq)
    }

    private static func readPart(
        _ reader: inout FieldReader, withBytes: Bool
    ) -> PartContent? {
        guard let digest = reader.digest(),
            let byteCount = reader.integer(UInt64.self).flatMap({ Int(exactly: $0) }),
            let kind = reader.integer(UInt8.self)
        else { return nil }
        switch kind {
        case 0:
            guard let bytes = reader.raw(byteCount) else { return nil }
            return PartContent(
                digest: digest, byteCount: byteCount,
                location: .inline(withBytes ? Array(bytes) : []))
        case 1:
            guard let name = readText(&reader), let name else { return nil }
            return PartContent(digest: digest, byteCount: byteCount, location: .file(name: name))
        case 2:
            guard let name = readText(&reader), let name else { return nil }
            return PartContent(
                digest: digest, byteCount: byteCount, location: .deadLetter(name: name))
        default: return nil
        }
    }

    private static func write(_ text: String?, to writer: inout FieldWriter) {
        guard let text else { return writer.integer(noText) }
        let bytes = text.utf8.prefix(textBytesMax)
        writer.integer(UInt16(bytes.count))
        writer.raw(bytes)
    }

    /// Nil at the end of the bytes, a nil inside for no text.
    private static func readText(_ reader: inout FieldReader) -> String?? {
        guard let count = reader.integer(UInt16.self) else { return nil }
        if count == noText { return .some(nil) }
        guard let bytes = reader.raw(Int(count)) else { return nil }
        return .some(String(decoding: bytes, as: UTF8.self))
    }
}

extension FieldWriter {
    /// Its 16 bytes.
    mutating func identifier<Kind>(_ value: Identifier<Kind>) {
        bigEndian(value.high)
        bigEndian(value.low)
    }

    /// Its 32 bytes.
    mutating func digest(_ value: Digest256) {
        bigEndian(value.words.0)
        bigEndian(value.words.1)
        bigEndian(value.words.2)
        bigEndian(value.words.3)
    }
}

extension FieldReader {
    mutating func identifier<Kind>(_: Identifier<Kind>.Type) -> Identifier<Kind>? {
        guard let high = bigEndian(), let low = bigEndian() else { return nil }
        return Identifier(high: high, low: low)
    }

    mutating func digest() -> Digest256? {
        guard let first = bigEndian(), let second = bigEndian(), let third = bigEndian(),
            let fourth = bigEndian()
        else { return nil }
        return Digest256(words: (first, second, third, fourth))
    }
}

/// What the log remembers of deliveries: bundles that are done, and attempts that were charged.
struct SettlementRecord: Sendable, Equatable {
    enum Outcome: UInt8, Sendable {
        case settled = 1
        case quarantined = 2
        /// Its record, or a file that it names, was not what was written any more.
        case lost = 3
        /// Not done; `attempts` counts.
        case charged = 4

        /// The bundle's state from now on; nil while it is still to be delivered.
        var state: BundleState? {
            switch self {
            case .settled: .settled
            case .quarantined: .quarantined
            case .lost: .lost
            case .charged: nil
            }
        }
    }

    struct Entry: Sendable, Equatable {
        let sequence: UInt64
        let outcome: Outcome
        let attempts: Int
        /// Of the bundle's parts; 0 in a record of version 1.
        var bytes = 0
    }

    private static let version: UInt8 = 2

    let time: Timestamp
    let entries: [Entry]

    func encode() -> [UInt8] {
        var writer = FieldWriter(capacity: 13 + 21 * entries.count)
        writer.integer(Self.version)
        writer.integer(time.microseconds)
        writer.integer(UInt32(entries.count))
        for entry in entries {
            writer.integer(entry.sequence)
            writer.integer(entry.outcome.rawValue)
            writer.integer(UInt32(clamping: entry.attempts))
            writer.integer(UInt64(entry.bytes))
        }
        return writer.bytes
    }

    init(time: Timestamp, entries: [Entry]) {
        self.time = time
        self.entries = entries
    }

    /// Nil if the payload is not a settlement of a version that this program knows.
    init?(_ payload: [UInt8]) {
        var reader = FieldReader(payload[...])
        guard let version = reader.integer(UInt8.self), (1...Self.version).contains(version),
            let time = reader.integer(Int64.self), let count = reader.integer(UInt32.self)
        else { return nil }
        var entries: [Entry] = []
        for _ in 0..<count {
            guard let sequence = reader.integer(UInt64.self),
                let outcome = reader.integer(UInt8.self).flatMap({ Outcome(rawValue: $0) }),
                let attempts = reader.integer(UInt32.self),
                let bytes = version == 1 ? 0 : reader.integer(UInt64.self)
            else { return nil }
            entries.append(
                Entry(
                    sequence: sequence, outcome: outcome, attempts: Int(attempts),
                    bytes: Int(clamping: bytes)))
        }
        guard reader.isAtEnd else { return nil }
        self.time = Timestamp(microseconds: time)
        self.entries = entries
    }
}
