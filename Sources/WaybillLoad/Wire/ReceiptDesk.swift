internal import DequeModule
internal import NIOCore

/// Reads the receipts of one event loop's devices: each connection takes the device that has waited
/// longest among those with bundles that have no receipt, and confirms what it has read.
///
/// Everything here runs on the loop.
final class ReceiptDesk {
    private enum Stage {
        case poll, confirm, lossCheck
    }

    /// What a connection is doing for a device.
    private final class Errand {
        let device: DeviceSlot
        var stage: Stage
        /// When the poll went out; the run's time.
        let since: Int64
        var isEmpty = true

        init(device: DeviceSlot, stage: Stage, since: Int64) {
            self.device = device
            self.stage = stage
            self.since = since
        }
    }

    private let lane: LaneContext
    private let devices: [DeviceSlot]
    private let resendsWhenSettled: Bool
    private var free: Deque<HTTPConnection> = []
    private var queue: Deque<DeviceSlot> = []
    private var isReading = false
    /// Each device is asked once more, so that receipts that nobody waits for are read too.
    private var isSweeping = false
    private var isStopped = false
    /// Acknowledged bundles without a receipt.
    private(set) var openCount = 0

    var onProgress: () -> Void = {}

    /// - Parameter resendsWhenSettled: bundles may be sent again when their receipts have come.
    init(lane: LaneContext, devices: [DeviceSlot], resendsWhenSettled: Bool) {
        self.lane = lane
        self.devices = devices
        self.resendsWhenSettled = resendsWhenSettled
    }

    func begin() {
        isReading = true
        for device in devices { enqueue(device) }
        pump()
    }

    func stop() {
        isStopped = true
        queue = []
    }

    func expect(_ bundle: OpenBundle, of device: DeviceSlot) {
        device.open.append(bundle)
        openCount += 1
        enqueue(device)
        pump()
    }

    /// Asks every device once more.
    func sweep() {
        guard !isSweeping else { return }
        isSweeping = true
        for device in devices {
            device.isSwept = false
            enqueue(device)
        }
        pump()
    }

    var isSwept: Bool { isSweeping && devices.allSatisfy(\.isSwept) }

    private func enqueue(_ device: DeviceSlot) {
        guard isReading, !isStopped, device.reading == .none else { return }
        guard !device.open.isEmpty || (isSweeping && !device.isSwept) else { return }
        let wait = device.polledAt + lane.options.readIntervalNanoseconds - lane.clock.now()
        guard wait > 0 else {
            device.reading = .queued
            queue.append(device)
            return
        }
        pause(device, nanoseconds: wait)
    }

    private func pump() {
        while !isStopped, !free.isEmpty, let device = queue.popFirst() {
            guard let connection = free.popFirst() else { return }
            poll(device, on: connection)
        }
    }

    private func poll(_ device: DeviceSlot, on connection: HTTPConnection) {
        device.reading = .polling
        device.polledAt = lane.clock.now()
        lane.stats.counters.polls += 1
        // While others wait for a reader, nobody keeps one for long.
        var wait = queue.isEmpty ? lane.options.pollSeconds : min(1, lane.options.pollSeconds)
        if device.open.isEmpty { wait = 0 }
        let errand = Errand(device: device, stage: .poll, since: device.polledAt)
        connection.purpose = errand
        connection.beginRequest()
        device.heads.writePoll(
            after: device.after, waitSeconds: wait, to: &connection.request)
        connection.send(seconds: Double(wait) + lane.options.answerSeconds)
    }

    // MARK: What comes back

    private func readPage(_ errand: Errand, on connection: HTTPConnection) {
        guard let page = ReceiptPage(connection.parser.body) else {
            return trouble(errand, "malformed_page", retryAfter: nil, connection)
        }
        let device = errand.device
        device.readTries = 0
        errand.isEmpty = page.items.isEmpty
        let now = lane.clock.now()
        for item in page.items {
            device.after = max(device.after, item.sequence)
            take(item, of: device, askedAt: errand.since, now: now)
        }
        if page.items.isEmpty { device.isSwept = isSweeping }
        next(errand, on: connection)
    }

    /// A receipt that was settled before its device was asked counts from the server's own time: the
    /// wait for a reader is the harness's, not the device's. Else it counts from its arrival.
    private func take(_ item: ReceiptPage.Item, of device: DeviceSlot, askedAt: Int64, now: Int64) {
        var time = now
        if let settled = item.settledAt.map({ lane.clock.nanoseconds(of: $0) }), settled < askedAt {
            time = settled
        }
        guard let receipt = lane.ledger.receipt(device: device.index, bytes: item.bytes, at: time),
            receipt.isFirst
        else { return }
        lane.stats.receipted(receipt, at: max(time, receipt.firstSent))
        if let index = device.open.firstIndex(where: { $0.number == receipt.number }) {
            device.open.remove(at: index)
            openCount -= 1
        } else if lane.uploads?.noteReceipt(of: receipt.number, device: device) != true {
            lane.stats.counters.unexpectedReceipts += 1
        }
        guard resendsWhenSettled,
            lane.recipes.recipe(receipt.number).resend == .whenSettled
        else { return }
        lane.uploads?.sendAgain(receipt.number, device: device, reason: .repetition)
    }

    /// After a page: confirms, or asks after a bundle that takes long, or is done.
    private func next(_ errand: Errand, on connection: HTTPConnection) {
        let device = errand.device
        let now = lane.clock.now()
        let pause = Int64(lane.options.lossCheckSeconds * 1e9)
        if connection.parser.closes {
            finish(device)
        } else if device.after > device.confirmed {
            errand.stage = .confirm
            connection.beginRequest()
            device.heads.writeConfirmation(through: device.after, to: &connection.request)
            connection.send(seconds: lane.options.answerSeconds)
            return
        } else if errand.isEmpty, let oldest = device.open.first, !oldest.isSentAgain,
            now - oldest.acknowledgedAt > pause, now - device.lastLossCheck > pause
        {
            errand.stage = .lossCheck
            device.lastLossCheck = now
            connection.beginRequest()
            device.heads.writeStatusQuestion(oldest.id, to: &connection.request)
            connection.send(seconds: lane.options.answerSeconds)
            return
        } else {
            finish(device)
        }
        connection.release()
        onProgress()
    }

    private func confirmed(_ errand: Errand, on connection: HTTPConnection) {
        let status = connection.parser.status
        guard (200..<300).contains(status) else {
            let code = UploadVerdict.code(status: status, body: connection.parser.body)
            return trouble(errand, code, retryAfter: connection.parser.retryAfter, connection)
        }
        errand.device.confirmed = errand.device.after
        finish(errand.device)
        connection.release()
        onProgress()
    }

    /// The answer to `GET /bundles/{id}` for the oldest bundle without a receipt.
    private func checked(_ errand: Errand, on connection: HTTPConnection) {
        let device = errand.device
        let parser = connection.parser
        let state = AnswerText.string(of: "state", in: parser.body[...])
        let isGone =
            parser.status == 404
            || parser.status == 200 && (state == "lost" || state == "expired")
        if isGone, !device.open.isEmpty {
            device.open[device.open.startIndex].isSentAgain = true
            lane.stats.counters.lostAndSentAgain += 1
            lane.uploads?.sendAgain(device.open[0].number, device: device, reason: .loss)
        } else if parser.status >= 400 {
            let code = UploadVerdict.code(status: parser.status, body: parser.body)
            return trouble(errand, code, retryAfter: parser.retryAfter, connection)
        }
        finish(device)
        connection.release()
    }

    private func finish(_ device: DeviceSlot) {
        device.reading = .none
        enqueue(device)
    }

    /// Asks again after a while.
    private func trouble(
        _ errand: Errand, _ code: String, retryAfter: Int?, _ connection: HTTPConnection?
    ) {
        let device = errand.device
        lane.stats.counters.readTroubles[code, default: 0] += 1
        device.readTries += 1
        let delay = lane.options.retry.delay(
            tries: device.readTries, retryAfter: retryAfter, unit: lane.random.unit())
        pause(device, nanoseconds: delay)
        connection?.release()
    }

    private func pause(_ device: DeviceSlot, nanoseconds: Int64) {
        device.reading = .pausing
        lane.loop.scheduleTask(in: .nanoseconds(nanoseconds)) { [lane, index = device.index] in
            lane.receipts?.pauseIsOver(index)
        }
    }

    private func pauseIsOver(_ index: Int) {
        let device = devices[lane.partition.position(of: index)]
        guard device.reading == .pausing else { return }
        finish(device)
        pump()
    }
}

extension ReceiptDesk: ConnectionUser {
    func connectionIsFree(_ connection: HTTPConnection) {
        free.append(connection)
        pump()
    }

    func connectionIsGone(_ connection: HTTPConnection, _ fault: WireFault) {
        free.removeAll { $0 === connection }
        if fault != .closed && fault != .stopped {
            lane.stats.counters.connectTroubles[fault.rawValue, default: 0] += 1
        }
    }

    func exchangeFailed(_ connection: HTTPConnection, _ fault: WireFault) {
        guard let errand = connection.purpose as? Errand, !isStopped else { return }
        trouble(errand, fault.rawValue, retryAfter: nil, nil)
    }

    func answered(_ connection: HTTPConnection) {
        guard let errand = connection.purpose as? Errand, !isStopped else {
            return connection.release()
        }
        switch errand.stage {
        case .poll where connection.parser.status == 200: readPage(errand, on: connection)
        case .poll:
            let (status, body) = (connection.parser.status, connection.parser.body)
            trouble(
                errand, UploadVerdict.code(status: status, body: body),
                retryAfter: connection.parser.retryAfter, connection)
        case .confirm: confirmed(errand, on: connection)
        case .lossCheck: checked(errand, on: connection)
        }
    }
}
