internal import DequeModule
internal import NIOCore

extension UploadDesk: ConnectionUser {
    func connectionIsFree(_ connection: HTTPConnection) {
        free.append(connection)
        pump()
    }

    func connectionIsGone(_ connection: HTTPConnection, _ fault: WireFault) {
        free.removeAll { $0 === connection }
        // A server may end idle connections.
        if fault != .closed && fault != .stopped {
            lane.stats.counters.connectTroubles[fault.rawValue, default: 0] += 1
        }
    }

    func exchangeFailed(_ connection: HTTPConnection, _ fault: WireFault) {
        guard let job = connection.purpose as? UploadJob, !isAbandoned else { return }
        retry(job, fault.rawValue, retryAfter: nil)
    }

    func answered(_ connection: HTTPConnection) {
        guard let job = connection.purpose as? UploadJob, !isAbandoned else {
            return connection.release()
        }
        switch verdict(of: job, connection.parser) {
        case .received: received(job, on: connection)
        case .missing(let parts):
            job.missing = parts
            nextPart(job, on: connection)
        case .partReceived:
            job.missing.removeFirst()
            nextPart(job, on: connection)
        case .offset(let offset):
            if job.step == .begin { job.missing = [0] }
            goOn(job, [job.missing[0]: offset], on: connection)
        case .offsets(let offsets):
            job.missing = offsets.keys.sorted()
            goOn(job, offsets, on: connection)
        case .unknown:
            // Expired, given up, or never begun.
            job.told = [:]
            job.rewind()
            go(job, job.step, on: connection)
        case .retry(let code):
            retry(job, code, retryAfter: connection.parser.retryAfter)
            connection.release()
        case .refused(let code):
            switch job.step {
            case .part, .rest:
                refuse(job, code)
                go(job, .giveUp, on: connection)
            default:
                end(job, refusal: code)
                connection.release()
            }
        }
        pump()
    }

    private func verdict(of job: UploadJob, _ parser: ResponseParser) -> UploadVerdict {
        let (status, body) = (parser.status, parser.body)
        switch job.step {
        case .whole: return .whole(status: status, body: body)
        case .declare:
            let parts = job.bundle?.parts.count ?? 0
            return .declaration(status: status, body: body, parts: parts)
        case .part: return .part(status: status, body: body)
        case .begin: return .beginning(status: status, body: body)
        case .ask: return .standing(status: status, body: body)
        case .rest: return .rest(status: status, body: body)
        case .giveUp:
            // Whatever it says, there is nothing more to do.
            return RetryRule.isRetryable(status)
                ? .retry(UploadVerdict.code(status: status, body: body)) : .received
        }
    }

    /// Takes the job's next step, over the same connection unless the server closes that.
    private func go(_ job: UploadJob, _ step: UploadJob.Step, on connection: HTTPConnection) {
        guard connection.parser.closes else {
            job.step = step
            return send(job, on: connection)
        }
        // Over another one the server is asked first what it has.
        job.step = step
        job.lookBack()
        ready.prepend(job)
        connection.release()
    }

    private func nextPart(_ job: UploadJob, on connection: HTTPConnection) {
        // An answer is progress.
        job.tries = 0
        guard let part = job.missing.first else { return received(job, on: connection) }
        go(
            job, job.isResumable ? .rest(part, offset: job.told[part] ?? 0) : .part(part),
            on: connection)
    }

    /// Goes on where the server says that its parts stand, which is never behind what it said before.
    private func goOn(_ job: UploadJob, _ offsets: [Int: Int], on connection: HTTPConnection) {
        for (part, offset) in offsets {
            let size = job.bundle?.parts[part].count ?? 0
            guard offset >= job.told[part] ?? 0, offset <= size else {
                end(job, refusal: "offset_went_back")
                return connection.release()
            }
            job.told[part] = offset
        }
        nextPart(job, on: connection)
    }

    private func received(_ job: UploadJob, on connection: HTTPConnection) {
        let isFirst = job.step != .giveUp && job.reason == .first
        if isFirst { acknowledge(job) }
        if isFirst, job.resend == .atOnce {
            job.reason = .repetition
            job.tries = 0
            job.rewind()
            lane.stats.counters.resent += 1
            ready.prepend(job)
            onProgress()
        } else {
            end(job)
        }
        connection.release()
    }

    private func acknowledge(_ job: UploadJob) {
        let now = lane.clock.now()
        outstanding -= 1
        lane.stats.acknowledged(intended: job.intended, firstSent: job.firstSent ?? now, at: now)
        lane.ledger.acknowledged(job.number, at: now)
        guard !job.hasReceipt, let id = job.bundle?.id else { return }
        onAcknowledged(job.device, OpenBundle(number: job.number, id: id, acknowledgedAt: now))
    }

    /// Writes down that the bundle will never be received.
    func refuse(_ job: UploadJob, _ code: String) {
        guard job.reason == .first else {
            // It was acknowledged before: trouble of a second sending, and no end of the bundle.
            lane.stats.counters.retries[code, default: 0] += 1
            return
        }
        let now = lane.clock.now()
        outstanding -= 1
        job.reason = .repetition
        lane.stats.refused(code, at: now)
        lane.ledger.refused(job.number, code: code, at: now)
    }
}
