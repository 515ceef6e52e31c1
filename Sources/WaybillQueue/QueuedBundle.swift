internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

/// What stays in memory of a bundle that is not settled: where its record lies, not its bytes.
///
/// Bundles of segments that have an index are in memory only while they are about to be handed out.
struct QueuedBundle: Sendable {
    let key: BundleKey
    let digest: Digest256
    let tenant: TenantID
    let receivedAt: Timestamp
    let sizes: PartSizes
    private(set) var position: RecordPosition
    /// Names of part files; empty, and then without memory of its own, for inline parts.
    let fileNames: [String]
    /// True for a dead letter that is tried again.
    let isRetry: Bool
    /// The number of the delivery that holds it; 0 for none.
    var holder: UInt64 = 0

    init(_ message: BundleMessage, position: RecordPosition) {
        self.init(
            key: message.key, digest: message.bundleDigest, tenant: message.tenant,
            receivedAt: message.receivedAt, sizes: PartSizes(message.parts),
            position: position,
            fileNames: message.parts.compactMap { part in
                if case .file(let name) = part.location { name } else { nil }
            }, isRetry: message.retryOf != nil)
    }

    init(
        key: BundleKey, digest: Digest256, tenant: TenantID, receivedAt: Timestamp,
        sizes: PartSizes, position: RecordPosition, fileNames: [String], isRetry: Bool
    ) {
        self.key = key
        self.digest = digest
        self.tenant = tenant
        self.receivedAt = receivedAt
        self.sizes = sizes
        self.position = position
        self.fileNames = fileNames
        self.isRetry = isRetry
    }

    /// What its damage comes to: a dead letter's bundle keeps its receipt, only this try is lost.
    var lostOutcome: SettlementRecord.Outcome { isRetry ? .quarantined : .lost }

    /// Its record lies elsewhere now: its segment was written anew.
    mutating func move(to position: RecordPosition) {
        self.position = position
    }

    /// The same bundle, once its record is on disk.
    func placed(at position: RecordPosition) -> QueuedBundle {
        var placed = self
        placed.position = position
        return placed
    }

    func entry(_ state: BundleState) -> BundleEntry {
        BundleEntry(
            state: state, bundleDigest: digest, partByteCounts: sizes.all, receivedAt: receivedAt)
    }
}

/// Byte counts of parts; one part, the common case, needs no array.
enum PartSizes: Sendable {
    case one(Int)
    case many([Int])

    init(_ parts: [PartContent]) {
        self = parts.count == 1 ? .one(parts[0].byteCount) : .many(parts.map(\.byteCount))
    }

    init(_ counts: [Int]) {
        self = counts.count == 1 ? .one(counts[0]) : .many(counts)
    }

    var all: [Int] {
        switch self {
        case .one(let count): [count]
        case .many(let counts): counts
        }
    }

    var total: Int {
        switch self {
        case .one(let count): count
        case .many(let counts): counts.reduce(0, +)
        }
    }

    var isOne: Bool {
        if case .one = self { true } else { false }
    }
}

/// First in, first out, with a way back to the front; for plain values: those that went stay in
/// memory until room is made.
struct Line<Element: Sendable>: Sendable {
    private var elements: [Element] = []
    private var head = 0

    var isEmpty: Bool { head == elements.count }
    var count: Int { elements.count - head }
    var first: Element? { isEmpty ? nil : elements[head] }
    /// In order.
    var all: [Element] { Array(elements[head...]) }

    mutating func append(_ element: Element) {
        elements.append(element)
    }

    mutating func replaceFirst(with element: Element) {
        guard !isEmpty else { return }
        elements[head] = element
    }

    mutating func popFirst() -> Element? {
        guard !isEmpty else { return nil }
        let element = elements[head]
        head += 1
        if head == elements.count {
            elements.removeAll(keepingCapacity: elements.capacity <= 64)
            head = 0
        } else if head > 64, head * 2 > elements.count {
            elements.removeFirst(head)
            head = 0
        }
        return element
    }

    mutating func removeAll(where isUnwanted: (Element) -> Bool) {
        guard elements[head...].contains(where: isUnwanted) else { return }
        elements = elements[head...].filter { !isUnwanted($0) }
        head = 0
    }

    /// Puts elements before all others, keeping their order.
    mutating func putBack(_ returned: [Element]) {
        if returned.count <= head {
            for (index, element) in returned.enumerated() {
                elements[head - returned.count + index] = element
            }
            head -= returned.count
        } else {
            elements.replaceSubrange(0..<head, with: returned)
            head = 0
        }
    }
}
