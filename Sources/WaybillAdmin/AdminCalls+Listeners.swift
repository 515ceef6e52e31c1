internal import HTTPTypes
internal import Hummingbird
internal import WaybillListener
internal import WaybillModel
internal import WaybillStore

extension AdminCalls {
    func listeners(_ request: Request, _ context: Context) async throws -> Response {
        try answer(parts.listeners.status)
    }

    /// One listener by its number: one that is wanted, or runs still.
    func listener(_ request: Request, _ context: Context) async throws -> Response {
        guard let number = context.parameters.get("number", as: Int.self),
            let listener = parts.listeners.listener(number),
            listener.state != .stopped || number < parts.listeners.status.target
        else { throw Problem(.notFound, "There is no such listener.") }
        return try AdminAnswer.json(listener)
    }

    /// Sets how many listeners there are, or within which bounds the server chooses; with `If-Match`
    /// only if nobody changed either meanwhile.
    func setListeners(_ request: Request, _ context: Context) async throws -> Response {
        let change = try Self.change(try await decode(ListenerRequest.self, request))
        let wanted = request.headers[values: .ifMatch].joined(separator: ",")
            .split(separator: ",").map { $0.trimming { $0 == " " || $0 == "\t" } }
        let statuses: (before: ListenerStatus, after: ListenerStatus)
        // An empty field names no status; taking it for none would overwrite blindly.
        let isAny = request.headers[.ifMatch] == nil || wanted == ["*"]
        do {
            statuses = try await parts.listeners.apply(change) { status in
                isAny || wanted.contains(Self.tag(status)[...])
            }
        } catch {
            throw Self.problem(error)
        }
        await record(
            AuditEvent(
                kind: change.isAutomatic ? "listeners.auto" : "listeners.set", actor: Self.actor,
                details: ["from": statuses.before.summary, "to": statuses.after.summary]), context)
        return try answer(statuses.after)
    }

    private static func change(_ body: ListenerRequest) throws(Problem) -> ListenerChange {
        guard (0...256).contains(body.min ?? 0), (1...256).contains(body.max ?? 256) else {
            throw Problem(.invalidRequest, "`min` and `max` lie between 0 and 256, `max` over 0.")
        }
        if body.autoscale == true {
            guard let min = body.min, let max = body.max else {
                throw Problem(.invalidRequest, "`autoscale` needs `min` and `max`.")
            }
            return .automatic(min: min, max: max)
        }
        if let target = body.target { return .fixed(target) }
        guard body.autoscale == false else {
            throw Problem(.invalidRequest, "Either `target` or `autoscale` is to be given.")
        }
        return .keep
    }

    private static func problem(_ error: ListenerError) -> Problem {
        switch error {
        case .notAsExpected:
            Problem(.preconditionFailed, "Somebody else changed it: \(error).")
        case .settingUnwritable: Problem(.internalError, "Not done: \(error).", retryAfter: 10)
        default: Problem(.invalidRequest, "Not done: \(error).")
        }
    }

    private func answer(_ status: ListenerStatus) throws -> Response {
        try AdminAnswer.json(status, headers: [.eTag: Self.tag(status)])
    }

    /// Changes when an operator changes something, not when listeners come and go, be it by
    /// themselves.
    private static func tag(_ status: ListenerStatus) -> String {
        status.autoscale
            ? "\"auto-\(status.min)-\(status.max)\""
            : "\"\(status.target)-\(status.min)-\(status.max)\""
    }
}

extension ListenerChange {
    fileprivate var isAutomatic: Bool {
        if case .automatic = self { true } else { false }
    }
}

extension ListenerStatus {
    /// For the audit.
    fileprivate var summary: String {
        autoscale ? "auto \(min)-\(max)" : "\(target)"
    }
}

extension Substring {
    fileprivate func trimming(_ isDropped: (Character) -> Bool) -> Substring {
        let start = drop(while: isDropped)
        return start.lastIndex { !isDropped($0) }.map { start[...$0] } ?? start[..<start.startIndex]
    }
}
