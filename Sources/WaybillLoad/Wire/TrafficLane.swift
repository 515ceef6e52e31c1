internal import NIOCore

/// One event loop with its devices, its connections and its part of the bundles.
///
/// `@unchecked`: after the initialiser everything is touched on the loop alone.
final class TrafficLane: @unchecked Sendable {
    let context: LaneContext
    private let uploads: UploadDesk
    private let receipts: ReceiptDesk
    private let uploadConnections: [HTTPConnection]
    private let readConnections: [HTTPConnection]
    private var ticking: RepeatedTask?
    private var isReading = false
    private var isFinishing = false
    private var isStopped = false

    /// No new bundle becomes due.
    let exhausted: EventLoopPromise<Void>
    /// All that was sent is acknowledged, refused or given up.
    let sent: EventLoopPromise<Void>
    /// All that is read is read.
    let read: EventLoopPromise<Void>
    private var isExhausted = false
    private var isSent = false
    private var isRead = false

    /// Deadlines are looked at this often.
    private static let tick = TimeAmount.milliseconds(20)
    /// Answers to uploads are short.
    private static let uploadReadBytes = 2048
    private static let receiptReadBytes = 64 << 10

    init(context: LaneContext, plan: LoadPlan, devices: [LoadDevice], target: ServerTarget) {
        self.context = context
        let slots = context.partition.deviceIndices.map { index in
            DeviceSlot(
                index: index, heads: RequestHeads(device: devices[index], target: target),
                after: context.ledger.lastSequence(device: index))
        }
        uploads = UploadDesk(lane: context, devices: slots)
        receipts = ReceiptDesk(
            lane: context, devices: slots, resendsWhenSettled: plan.faults.resent > 0)
        func connections(_ total: Int, _ readBytes: Int) -> [HTTPConnection] {
            (0..<max(1, context.partition.share(of: total))).map { _ in
                HTTPConnection(
                    loop: context.loop, target: target, clock: context.clock, readBytes: readBytes)
            }
        }
        uploadConnections = connections(plan.connections, Self.uploadReadBytes)
        readConnections = connections(plan.readers, Self.receiptReadBytes)
        exhausted = context.loop.makePromise()
        sent = context.loop.makePromise()
        read = context.loop.makePromise()
        context.uploads = uploads
        context.receipts = receipts
        uploads.onAcknowledged = { [receipts] in receipts.expect($1, of: $0) }
        uploads.onProgress = { [weak self] in self?.noteSending() }
        for connection in uploadConnections { connection.user = uploads }
        for connection in readConnections { connection.user = receipts }
    }

    /// Opens the connections for uploads.
    func prepare() {
        context.beginProcessorTime()
        for connection in uploadConnections { connection.open() }
        ticking = context.loop.scheduleRepeatedTask(initialDelay: Self.tick, delay: Self.tick) {
            [weak self] _ in
            self?.onTick()
        }
    }

    func beginSending(_ arrivals: UploadDesk.Arrivals, window: MeasuredWindow) {
        context.stats.begin(
            since: window.since, until: window.until, endsByCount: context.bundlesMax < .max)
        uploads.begin(arrivals)
    }

    func beginReading() {
        guard !isReading, !isStopped else { return }
        isReading = true
        for connection in readConnections { connection.open() }
        receipts.begin()
    }

    /// Ends reading when every acknowledged bundle has a receipt and nothing is being sent again.
    func finishReading() {
        beginReading()
        isFinishing = true
        onTick()
    }

    func endReading() {
        receipts.stop()
        noteReading(isOver: true)
    }

    func abandon() {
        uploads.abandon()
        noteSending()
    }

    /// Gives up what has no answer. What is sent once more, or given up, goes on until the lane stops.
    func endPatience() {
        if !uploads.hasAllAnswers { return abandon() }
        noteSending(isOver: true)
    }

    func stop() {
        guard !isStopped else { return }
        isStopped = true
        ticking?.cancel()
        abandon()
        endReading()
        for connection in uploadConnections + readConnections { connection.stop() }
    }

    /// Acknowledged bundles without a receipt.
    var openCount: Int { receipts.openCount }

    private func onTick() {
        let now = context.clock.now()
        context.noteProcessorTime()
        for connection in uploadConnections { connection.checkDeadline(now) }
        for connection in readConnections { connection.checkDeadline(now) }
        uploads.tick()
        noteSending()
        noteReading(isOver: false)
    }

    private func noteSending(isOver: Bool = false) {
        if uploads.isExhausted, !isExhausted {
            isExhausted = true
            exhausted.succeed()
        }
        if isOver || uploads.isDone, !isSent {
            isSent = true
            sent.succeed()
        }
    }

    private func noteReading(isOver: Bool) {
        guard !isRead else { return }
        var isOver = isOver
        if isFinishing, receipts.openCount == 0, uploads.busyDevices == 0 {
            receipts.sweep()
            if receipts.isSwept { isOver = true }
        }
        guard isOver else { return }
        isRead = true
        receipts.stop()
        read.succeed()
    }
}

/// The measured time on the run's clock; without an end where a number of bundles ends the run.
struct MeasuredWindow: Sendable {
    let since: Int64
    let until: Int64?
}
