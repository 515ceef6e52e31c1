internal import DequeModule
internal import NIOCore
internal import WaybillModel

/// Sends the bundles of one event loop: which one when, over which connection, and again.
///
/// A device sends one bundle at a time, in order; what is due meanwhile waits in its line.
/// Everything here runs on the loop.
final class UploadDesk {
    enum Arrivals {
        /// Until that moment, as soon as a device and a connection are free.
        case closed(until: Int64)
        case scheduled(LaneArrivals)
    }

    let lane: LaneContext
    let devices: [DeviceSlot]

    var free: Deque<HTTPConnection> = []
    /// Jobs that can go out as soon as a connection is free.
    var ready: Deque<UploadJob> = []
    /// Of bundles that are due and were not handed to their device yet, in order.
    private var due: Deque<Int64> = []
    /// The next bundle to be handed to its device; nil after the last one.
    private var cursor: Int?
    private var arrivals = Arrivals.closed(until: .min)
    /// No new bundle becomes due any more.
    private(set) var isExhausted = false
    /// The supply has not sealed the bundle at the cursor.
    private var isStarving = false
    private var isPumping = false
    private(set) var isAbandoned = false
    private var parkedBytes = 0
    /// Of the closed model: in a device's line, and not due before it is their turn.
    private var parkedUnplanned = 0
    /// Bundles that are due and neither acknowledged nor refused.
    var outstanding = 0
    /// Devices with something to send.
    private(set) var busyDevices = 0

    /// A bundle is received for the first time, and waits for its receipt.
    var onAcknowledged: (DeviceSlot, OpenBundle) -> Void = { _, _ in }
    var onProgress: () -> Void = {}

    /// - Parameter devices: of the lane, by rising index.
    init(lane: LaneContext, devices: [DeviceSlot]) {
        self.lane = lane
        self.devices = devices
    }

    /// Every bundle that was to be sent is acknowledged or refused.
    var hasAllAnswers: Bool { isExhausted && outstanding == 0 && parkedUnplanned == 0 }

    /// Refused bundles are given up too, and what was to be sent again is.
    var isDone: Bool { hasAllAnswers && busyDevices == 0 }

    func begin(_ arrivals: Arrivals) {
        self.arrivals = arrivals
        cursor = lane.partition.first(from: 0)
        if cursor == nil { exhaust() }
        arriveWhatIsDue()
        pump()
    }

    // MARK: What is due

    /// Takes in all that the schedule wants by now, and comes back for the next one.
    private func arriveWhatIsDue() {
        guard case .scheduled(var schedule) = arrivals, !isExhausted else { return }
        let now = lane.clock.now()
        while let next = schedule.next, next.time <= now {
            plan(next.number, intended: next.time)
            due.append(next.time)
            schedule.advance()
        }
        arrivals = .scheduled(schedule)
        guard let next = schedule.next else { return exhaust() }
        lane.loop.scheduleTask(deadline: lane.deadline(next.time)) { [lane] in
            lane.uploads?.arriveWhatIsDue()
            lane.uploads?.pump()
        }
    }

    private func plan(_ number: Int, intended: Int64) {
        outstanding += 1
        lane.stats.planned()
        lane.ledger.planned(number, intended: intended)
    }

    private func exhaust() {
        guard !isExhausted else { return }
        isExhausted = true
        onProgress()
    }

    /// At which a bundle may become due.
    private var lastMoment: Int64 {
        if case .closed(let until) = arrivals { return until - 1 }
        return .max
    }

    private func isNextDue() -> Bool {
        switch arrivals {
        case .scheduled: return !due.isEmpty
        case .closed(let until):
            guard !isExhausted, let cursor else { return false }
            if cursor >= lane.bundlesMax || lane.clock.now() >= until {
                exhaust()
                return false
            }
            return busyDevices < devices.count
        }
    }

    /// The lane's clock ticks: an end that nobody noticed is noticed.
    func tick() {
        if case .closed = arrivals, !isAbandoned { _ = isNextDue() }
    }

    // MARK: What goes out

    /// Gives free connections something to do.
    func pump() {
        guard !isPumping, !isAbandoned else { return }
        isPumping = true
        defer { isPumping = false }
        while !free.isEmpty {
            if let job = ready.popFirst() {
                guard let connection = free.popFirst() else { return }
                start(job, on: connection)
            } else if !isStarving, isNextDue() {
                guard handOut() else { return }
            } else {
                return
            }
        }
    }

    /// Hands the next bundle to its device; false while it is not sealed.
    private func handOut() -> Bool {
        guard let number = cursor else { return false }
        guard let bundle = lane.source.take(number) else {
            isStarving = true
            lane.stats.counters.starved += 1
            lane.source.whenReady(number) { [lane] in
                lane.loop.execute { lane.uploads?.isFed() }
            }
            return false
        }
        cursor = lane.partition.first(from: number + 1)
        let device = devices[lane.partition.position(of: number)]
        let job = UploadJob(
            number: number, device: device, reason: .first, intended: due.popFirst(),
            recipe: lane.recipes.recipe(number))
        job.setBundle(bundle)
        if device.job == nil { begin(job) } else { park(job) }
        return true
    }

    private func isFed() {
        isStarving = false
        pump()
    }

    /// Puts it behind what its device has to send first.
    private func park(_ job: UploadJob) {
        let bytes = job.bundle?.byteCount ?? 0
        if parkedBytes + bytes > lane.options.parkedBytesMax {
            job.bundle = nil
        } else {
            parkedBytes += bytes
        }
        if !job.isPlanned { parkedUnplanned += 1 }
        job.device.line.append(job)
    }

    /// Makes it the device's job; the device has none.
    private func begin(_ job: UploadJob) {
        busyDevices += 1
        job.device.job = job
        if !job.isPlanned {
            // The closed model wants a bundle sent when its device and a connection are free for it,
            // and that this was in time is decided.
            job.intended = min(lane.clock.now(), lastMoment)
            plan(job.number, intended: job.intended)
        }
        guard job.bundle == nil else { return ready.append(job) }
        lane.source.sealAgain(job.number) { [lane, number = job.number] bundle in
            lane.loop.execute { lane.uploads?.isSealedAgain(number, bundle) }
        }
    }

    private func isSealedAgain(_ number: Int, _ bundle: SealedBundle?) {
        let device = devices[lane.partition.position(of: number)]
        guard let job = device.job, job.number == number, job.bundle == nil else { return }
        if let bundle {
            job.setBundle(bundle)
            ready.append(job)
        } else {
            end(job, refusal: "sealing_failed")
        }
        pump()
    }

    /// Sends a bundle that was acknowledged before once more, after what its device has in hand.
    func sendAgain(_ number: Int, device: DeviceSlot, reason: UploadJob.Reason) {
        guard !isAbandoned else { return }
        if reason == .repetition { lane.stats.counters.resent += 1 }
        let job = UploadJob(
            number: number, device: device, reason: reason, intended: lane.clock.now(),
            recipe: lane.recipes.recipe(number))
        if device.job == nil { begin(job) } else { device.line.append(job) }
        pump()
    }

    private func start(_ job: UploadJob, on connection: HTTPConnection) {
        let now = lane.clock.now()
        if job.firstSent == nil {
            job.firstSent = now
            if job.reason == .first, let bundle = job.bundle {
                lane.ledger.sealed(job.number, digest: bundle.digest)
            }
            if job.reason == .first, lane.stats.window.contains(job.intended) {
                let possible = max(job.intended, connection.freeSince, job.device.freeSince)
                lane.stats.latencies.record(.sendDelay, now - possible)
            }
        }
        if job.step != .giveUp {
            lane.stats.counters.sends += 1
            lane.ledger.sent(job.number, at: now)
        }
        send(job, on: connection)
    }

    /// Sends the request that the job's step asks for.
    func send(_ job: UploadJob, on connection: HTTPConnection) {
        guard let bundle = job.bundle else { return }
        connection.purpose = job
        connection.beginRequest()
        let heads = job.device.heads
        var cut: Int?? = .none
        switch job.step {
        case .whole:
            heads.writeWhole(bundle, to: &connection.request)
            cut = takeCut(job, request: 0, lengths: [connection.request.readableBytes])
        case .declare: heads.writeDeclaration(bundle, to: &connection.request)
        case .part(let index):
            heads.writePart(index, of: bundle, to: &connection.request)
            let head = connection.request.readableBytes - bundle.parts[index].count
            cut = takeCut(job, request: index, lengths: bundle.parts.map { $0.count + head })
        case .begin: heads.writeBeginning(bundle, to: &connection.request)
        case .ask: heads.writeStatusQuestion(bundle.id, to: &connection.request)
        case .rest(let index, let offset):
            heads.writeRest(index, from: offset, of: bundle, to: &connection.request)
            let head =
                connection.request.readableBytes - (bundle.parts[index].count - offset)
            cut = takeCut(job, request: index, lengths: bundle.parts.map { $0.count + head })
        case .giveUp: heads.writeGivingUp(bundle.id, to: &connection.request)
        }
        let length = connection.request.readableBytes
        let seconds = lane.options.answerSeconds(requestBytes: length)
        lane.stats.counters.bytesSent += connection.send(cut: cut, seconds: seconds)
    }

    /// Whether this request is the one to be cut, and after how many bytes.
    private func takeCut(_ job: UploadJob, request: Int, lengths: @autoclosure () -> [Int]) -> Int??
    {
        guard let cut = job.cut else { return .none }
        let point = CutPoint(cut, lengths: lengths())
        guard point.request == request else { return .none }
        job.cut = nil
        lane.stats.counters.cuts += 1
        return .some(point.bytes)
    }

    // MARK: What a device is done with

    /// Tries again after a while.
    func retry(_ job: UploadJob, _ code: String, retryAfter: Int?) {
        job.tries += 1
        if code != WireFault.cut.rawValue {
            lane.stats.counters.retries[code, default: 0] += 1
        }
        job.lookBack()
        let delay = lane.options.retry.delay(
            tries: job.tries, retryAfter: retryAfter, unit: lane.random.unit())
        job.pause = lane.loop.scheduleTask(in: .nanoseconds(delay)) { [lane, number = job.number] in
            lane.uploads?.pauseIsOver(number)
        }
    }

    private func pauseIsOver(_ number: Int) {
        let device = devices[lane.partition.position(of: number)]
        guard let job = device.job, job.number == number, job.pause != nil else { return }
        job.pause = nil
        ready.append(job)
        pump()
    }

    /// The device goes on with its line.
    func end(_ job: UploadJob, refusal: String? = nil) {
        if let refusal { refuse(job, refusal) }
        let device = job.device
        device.job = nil
        device.freeSince = lane.clock.now()
        busyDevices -= 1
        advance(device)
        onProgress()
    }

    private func advance(_ device: DeviceSlot) {
        while let next = device.line.popFirst() {
            if next.reason == .first { parkedBytes -= next.bundle?.byteCount ?? 0 }
            if next.isPlanned { return begin(next) }
            parkedUnplanned -= 1
            if case .closed(let until) = arrivals, lane.clock.now() < until { return begin(next) }
            // It was never due: the closed model has ended before its device was free for it.
        }
    }

    // MARK: The end

    /// Marks that the receipt of a bundle that is still being sent has come; false if it is not.
    func noteReceipt(of number: Int, device: DeviceSlot) -> Bool {
        guard let job = device.job, job.number == number, job.reason == .first else { return false }
        job.hasReceipt = true
        return true
    }

    /// Gives up all that has no answer.
    func abandon() {
        guard !isAbandoned else { return }
        isAbandoned = true
        for device in devices {
            device.job?.pause?.cancel()
            device.job = nil
            device.line = []
        }
        ready = []
        due = []
        busyDevices = 0
        parkedUnplanned = 0
        lane.stats.counters.unanswered += outstanding
        outstanding = 0
        exhaust()
        onProgress()
    }
}
