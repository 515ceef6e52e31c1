internal import WaybillModel
internal import WaybillQueue
internal import WaybillThreads

/// What a queue did that it must not.
struct ModelMismatch: Error {
    let what: String
    /// The bundle that it is about, where there is one.
    let key: BundleKey?

    init(_ what: String, of key: BundleKey? = nil) {
        self.what = what
        self.key = key
    }
}

/// What a queue must hold after all that was done to it, told step by step; judges what it shows.
///
/// Of every key the model knows what is so in this life of the queue, and what the next may find
/// instead: an enqueuing that failed with the disk may have reached it, and a settlement that no sync
/// covers may be gone.
struct QueueModel {
    /// One content that was offered under a key.
    struct Copy {
        let number: Int
        let message: BundleMessage
        /// Attempts that every later life must count.
        var attemptsSynced = 0
        /// Attempts charged, as far as this life knows.
        var attempts = 0
        /// False after an opening that may have found fewer, until the next delivery shows it.
        var isCounted = true
        var wasHandedOut = false
        var wasMarked = false
        /// How it ended, in this life or an earlier one.
        var end: BundleState?
        /// It came from an earlier life, whatever was done with it there.
        var isRecovered = false
    }

    /// What may be known of a key.
    enum World: Equatable {
        case absent
        case queued(Int)
        /// Remembered after its end.
        case done(Int, BundleState)
    }

    struct Known {
        var now = World.absent
        /// What the next life may find.
        var next: [World] = [.absent]
        /// Until then a settled bundle must be remembered.
        var rememberedUntil: Deadline?
        /// The copy whose record is on its way, and how many others wait for it.
        var pending: Int?
    }

    struct HeldLease {
        var lease: Lease
        /// Copies, one for each delivery.
        let copies: [Int]
        var expires: Deadline
        var marks: [OpeningMark] = []
    }

    /// A settlement that no sync has covered yet, by number.
    struct Unsynced {
        var done: [Int] = []
        var charged: [(copy: Int, attempts: Int)] = []
    }

    let retention: Duration
    var copies: [Copy] = []
    var known: [BundleKey: Known] = [:]
    /// All keys, in the order in which they came up.
    var keys: [BundleKey] = []
    /// Queued copies of each device, in the order in which they were offered.
    var lines: [DeviceID: [Int]] = [:]
    /// Nothing of the device is handed out before.
    var due: [DeviceID: Deadline] = [:]
    var leases: [HeldLease] = []
    /// Leases that have ended in this life or an earlier one: none of them may settle anything.
    var stale: [Lease] = []
    var unsynced: [Int: Unsynced] = [:]
    var nextSettlement = 0
    var lastNumber: UInt64 = 0
    var isPaused = false
    /// What the next life may find.
    var isPausedNext: Set<Bool> = [false]
    /// Until then a failed read may keep work back.
    var blindUntil: Deadline?
    /// Keys that a step had to do with since the last comparison, some of them twice.
    var touched: [BundleKey] = []
    /// The same since a segment was closed last.
    var touchedInSegment: [BundleKey] = []
    /// How often the queue was compared; decides which keys have their turn.
    var comparisons = 0

    init(retention: Duration) {
        self.retention = retention
    }

    var queuedCount: Int { lines.values.reduce(0) { $0 + $1.count } }

    /// A step has to do with the lease's bundles.
    mutating func touch(_ lease: Lease) { touched += lease.deliveries.map(\.message.key) }

    func isHeld(_ copy: Int, at now: Deadline) -> Bool {
        leases.contains { $0.expires > now && $0.copies.contains(copy) }
    }

    // MARK: Coming in

    /// What an enqueuing must come to.
    enum Admission {
        case new
        /// As whatever becomes of this copy, of the same key.
        case follows(Int)
        case existing(Int)
    }

    /// - Parameter found: what the queue says of the key, already compared.
    mutating func offer(_ message: BundleMessage, found: BundleEntry?) -> (Int, Admission) {
        let number = copies.count
        let key = message.key
        copies.append(Copy(number: number, message: message))
        touched.append(key)
        if known[key] == nil {
            known[key] = Known()
            keys.append(key)
        }
        let isNew =
            found == nil || found?.state == .lost
            || (message.retryOf != nil && found?.state == .quarantined)
        switch known[key]?.now {
        case .queued(let other) where !isNew, .done(let other, _) where !isNew:
            return (number, .existing(other))
        default:
            if let pending = known[key]?.pending { return (number, .follows(pending)) }
            known[key]?.pending = number
            return (number, .new)
        }
    }

    mutating func answer(
        _ number: Int, _ admission: Admission, _ result: Result<EnqueueResult, QueueError>
    ) throws(ModelMismatch) {
        let key = copies[number].message.key
        touched.append(key)
        switch (admission, result) {
        case (.new, .success(.enqueued)):
            known[key]?.pending = nil
            insert(number, key)
        case (.new, .failure(let error)):
            known[key]?.pending = nil
            // Of a failed log nobody knows what is on the disk.
            if error.isFatal || error == .closed { known[key]?.next.append(.queued(number)) }
        case (.follows(let first), .success(.existing(let entry))):
            guard known[key]?.now == .queued(first) else {
                throw ModelMismatch(
                    "\(number) is told of \(first), not \(String(describing: known[key]?.now))")
            }
            try compare(entry, with: first)
        case (.follows, .failure): break
        case (.existing, .failure(.io)), (.existing, .failure(.unhealthy)):
            // What is there could not be read.
            break
        case (.existing(let other), .success(.existing(let entry))):
            try compare(entry, with: other)
        default:
            throw ModelMismatch("enqueuing \(number) (\(admission)) came to \(result)")
        }
    }

    private mutating func insert(_ number: Int, _ key: BundleKey) {
        known[key]?.now = .queued(number)
        known[key]?.next = [.queued(number)]
        lines[key.deviceID, default: []].append(number)
    }

    /// Answers that will never come: the process is gone.
    mutating func abandonPending() {
        for key in keys {
            guard let number = known[key]?.pending else { continue }
            known[key]?.pending = nil
            known[key]?.next.append(.queued(number))
        }
    }

    func compare(_ entry: BundleEntry, with number: Int) throws(ModelMismatch) {
        let message = copies[number].message
        guard entry.bundleDigest == message.bundleDigest,
            entry.partByteCounts == message.parts.map(\.byteCount)
                // Of a lost one only their sum is remembered.
                || (entry.state == .lost && entry.partByteCounts == [message.byteCount]),
            entry.receivedAt == message.receivedAt
        else { throw ModelMismatch("what is found is not copy \(number)") }
    }

    // MARK: Going out

    mutating func take(_ lease: Lease?, _ request: LeaseRequest, at now: Deadline)
        throws(ModelMismatch)
    {
        // What has ended by now is nobody's.
        for held in leases where held.expires <= now {
            stale.append(held.lease)
            touch(held.lease)
        }
        leases.removeAll { $0.expires <= now }
        guard let lease else { return try checkNothingIsReady(at: now) }
        touch(lease)
        guard !isPaused else { throw ModelMismatch("a paused queue hands out") }
        guard lease.expires == now.advanced(by: request.duration) else {
            throw ModelMismatch("a lease has the wrong end")
        }
        let bytes = lease.deliveries.reduce(0) { $0 + $1.message.byteCount }
        guard !lease.deliveries.isEmpty, lease.deliveries.count <= request.bundlesMax,
            lease.deliveries.count == 1 || bytes <= request.bytesMax
        else { throw ModelMismatch("a lease of \(lease.deliveries.count), \(bytes) bytes") }
        var taken: [Int] = []
        var places: [DeviceID: Int] = [:]
        for delivery in lease.deliveries {
            taken.append(try take(delivery, &places, at: now))
        }
        leases.append(HeldLease(lease: lease, copies: taken, expires: lease.expires))
    }

    private mutating func take(
        _ delivery: Delivery, _ places: inout [DeviceID: Int], at now: Deadline
    ) throws(ModelMismatch) -> Int {
        let key = delivery.message.key
        guard case .queued(let number) = known[key]?.now else {
            throw ModelMismatch(
                "\(key.bundleID.low) is delivered and \(String(describing: known[key]?.now))")
        }
        guard copies[number].message == delivery.message else {
            throw ModelMismatch("copy \(number) is delivered with another content")
        }
        guard !isHeld(number, at: now) else { throw ModelMismatch("\(number) has two holders") }
        guard delivery.number > lastNumber else {
            throw ModelMismatch("delivery \(delivery.number) comes after \(lastNumber)")
        }
        lastNumber = delivery.number
        let device = key.deviceID
        guard due[device].map({ $0 <= now }) ?? true else {
            throw ModelMismatch("\(number) is delivered before its device's delay is over")
        }
        due[device] = nil
        let place = places[device, default: 0]
        let line = lines[device] ?? []
        guard place < line.count, line[place] == number,
            place > 0 || !line.contains(where: { isHeld($0, at: now) })
        else { throw ModelMismatch("\(number) is delivered out of its device's order \(line)") }
        places[device] = place + 1
        try count(delivery, number)
        return number
    }

    private mutating func count(_ delivery: Delivery, _ number: Int) throws(ModelMismatch) {
        let copy = copies[number]
        let attempts = delivery.attempt - 1
        guard attempts <= copy.attempts,
            attempts >= (copy.isCounted ? copy.attempts : copy.attemptsSynced)
        else {
            throw ModelMismatch(
                "\(number) has \(attempts) attempts, not \(copy.attemptsSynced) to \(copy.attempts)"
            )
        }
        guard delivery.failingFor == nil || attempts > 0,
            delivery.failingFor != nil || attempts == 0
        else { throw ModelMismatch("\(number) fails since never, \(attempts) times") }
        guard delivery.isRedelivered || !(copy.wasHandedOut || copy.isRecovered) else {
            throw ModelMismatch("\(number) is called new and is not")
        }
        if !copy.isCounted {
            // What an opening found is on the disk.
            copies[number].attemptsSynced = attempts
            copies[number].attempts = attempts
            copies[number].isCounted = true
        }
        copies[number].wasHandedOut = true
    }

    /// With nothing handed out, all that waits and is not delayed is ready.
    private func checkNothingIsReady(at now: Deadline) throws(ModelMismatch) {
        guard !isPaused, leases.isEmpty, blindUntil.map({ $0 <= now }) ?? true else { return }
        for (device, line) in lines where !line.isEmpty {
            guard due[device].map({ $0 <= now }) ?? true else { continue }
            throw ModelMismatch("\(line[0]) is ready and is not handed out")
        }
    }
}
