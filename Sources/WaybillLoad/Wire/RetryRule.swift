/// What a device makes of an answer, and how long it waits before it tries again (CONTRACT.md, "What
/// a device does").
package struct RetryRule: Sendable, Equatable {
    /// The first ceiling of the random waiting time; it doubles with each try.
    package var baseSeconds = 1.0
    /// The contract's devices go up to 15 minutes; a run cannot wait that long.
    package var ceilingSeconds = 4.0
    /// The longest `Retry-After` that is obeyed in full.
    package var retryAfterSecondsMax = 5.0

    package init() {}

    /// Nanoseconds until the next try, with full jitter.
    ///
    /// - Parameters:
    ///   - tries: that failed in a row, from 1.
    ///   - unit: a random number from 0 to 1.
    package func delay(tries: Int, retryAfter: Int?, unit: Double) -> Int64 {
        let ceiling = min(ceilingSeconds, baseSeconds * Double(1 << min(max(tries - 1, 0), 20)))
        let asked = min(Double(retryAfter ?? 0), retryAfterSecondsMax)
        return Int64(max(asked, ceiling * unit) * 1e9)
    }

    package static func isRetryable(_ status: Int) -> Bool {
        status == 408 || status == 425 || status == 429 || status >= 500
    }
}

/// What an answer means for an upload.
package enum UploadVerdict: Sendable, Equatable {
    /// All of the bundle is received.
    case received
    /// Of a declared bundle; the parts, from 0, that are still to be sent.
    case missing([Int])
    /// This part is received.
    case partReceived
    /// Of a resumable upload: how far each part, from 0, that is not complete has come.
    case offsets([Int: Int])
    /// Its bytes go on from here.
    case offset(Int)
    /// The server knows nothing of it: it is to be begun again.
    case unknown
    case retry(String)
    case refused(String)

    /// Of `POST /bundles` with the archive.
    package static func whole(status: Int, body: [UInt8]) -> UploadVerdict {
        switch status {
        case 202: .received
        case 200, 201:
            AnswerText.string(of: "state", in: body[...]) == "receiving"
                ? .retry("incomplete") : .received
        default: failure(status: status, body: body)
        }
    }

    /// Of `POST /bundles` with a declaration.
    package static func declaration(status: Int, body: [UInt8], parts: Int) -> UploadVerdict {
        guard (200..<300).contains(status) else { return failure(status: status, body: body) }
        switch AnswerText.string(of: "state", in: body[...]) {
        case "queued", "processing", "settled", "quarantined": return .received
        case nil: return .retry("malformed")
        default: break
        }
        let known = AnswerText.objects(of: "parts", in: body[...]) ?? []
        let complete = known.compactMap { part -> Int64? in
            guard let value = AnswerText.value(of: "complete", in: part),
                value.elementsEqual("true".utf8)
            else { return nil }
            return AnswerText.integer(of: "part", in: part)
        }
        let missing = (0..<parts).filter { !complete.contains(Int64($0 + 1)) }
        return missing.isEmpty ? .received : .missing(missing)
    }

    /// Of `PUT /bundles/{id}/parts/{n}`.
    package static func part(status: Int, body: [UInt8]) -> UploadVerdict {
        switch status {
        case 200, 201, 202, 204: .partReceived
        // The server does not know it any more, or knows more than we do: ask it by declaring again.
        case 404, 409, 410: .retry(code(status: status, body: body))
        default: failure(status: status, body: body)
        }
    }

    /// Of `POST /bundles` that begins a resumable upload.
    package static func beginning(status: Int, body: [UInt8]) -> UploadVerdict {
        switch status {
        case 201: .offset(0)
        case 200, 202: .received
        default: failure(status: status, body: body)
        }
    }

    /// Of `GET /bundles/{id}`.
    package static func standing(status: Int, body: [UInt8]) -> UploadVerdict {
        guard status != 404 else { return .unknown }
        guard status == 200 else { return failure(status: status, body: body) }
        switch AnswerText.string(of: "state", in: body[...]) {
        case "queued", "processing", "settled", "quarantined": return .received
        case "receiving": break
        case "lost", "expired": return .unknown
        default: return .retry("malformed")
        }
        var offsets: [Int: Int] = [:]
        for part in AnswerText.objects(of: "parts", in: body[...]) ?? [] {
            guard let number = AnswerText.integer(of: "part", in: part),
                let received = AnswerText.integer(of: "received", in: part),
                let isComplete = AnswerText.value(of: "complete", in: part)
            else { return .retry("malformed") }
            if !isComplete.elementsEqual("true".utf8) {
                offsets[Int(number) - 1] = Int(received)
            }
        }
        return .offsets(offsets)
    }

    /// Of `PATCH /bundles/{id}/parts/{n}`.
    package static func rest(status: Int, body: [UInt8]) -> UploadVerdict {
        if status == 409, let offset = AnswerText.integer(of: "expected-offset", in: body[...]) {
            return .offset(Int(offset))
        }
        return part(status: status, body: body)
    }

    private static func failure(status: Int, body: [UInt8]) -> UploadVerdict {
        let code = code(status: status, body: body)
        return RetryRule.isRetryable(status) ? .retry(code) : .refused(code)
    }

    /// The problem's code where the answer has one that looks like a code; else the status.
    package static func code(status: Int, body: [UInt8]) -> String {
        guard let code = AnswerText.value(of: "code", in: body[...]),
            (1...40).contains(code.count),
            code.allSatisfy({ (0x61...0x7a).contains($0) || $0 == UInt8(ascii: "_") })
        else { return "status_\(status)" }
        return String(decoding: code, as: UTF8.self)
    }
}
