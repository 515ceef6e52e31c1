/// Turns a line into a transaction or says what is wrong with it.
struct TransactionReader: ~Copyable {
    private var scanner: LineScanner
    private let hasher: ContentHasher

    init(depthMax: Int, hasher: ContentHasher) {
        scanner = LineScanner(depthMax: depthMax)
        self.hasher = hasher
    }

    /// - Parameter range: of the line in `text`.
    mutating func read(_ text: [UInt8], _ range: Range<Int>) -> EntryLine.Result {
        unsafe text.withUnsafeBytes { bytes in
            let line = unsafe UnsafeRawBufferPointer(rebasing: bytes[range])
            let fault = unsafe scanner.scan(line)
            let found = Found(scanner)
            do throws(LineFault) {
                if let fault { throw fault }
                return .transaction(try transaction(found, text, range))
            } catch {
                return rejected(error, found)
            }
        }
    }

    /// A line of which only the beginning is there.
    mutating func readOverlong(_ text: [UInt8], _ range: Range<Int>) -> EntryLine.Result {
        unsafe text.withUnsafeBytes { bytes in
            _ = unsafe scanner.scan(UnsafeRawBufferPointer(rebasing: bytes[range]))
            return rejected(
                LineFault(.tooLong, "the line is over the limit"), Found(scanner))
        }
    }

    private func rejected(_ fault: LineFault, _ found: Found) -> EntryLine.Result {
        let id = unsafe scanner.string(found.id).flatMap { unsafe UUIDWords($0) }
        return unsafe .rejected(
            code: fault.code.rawValue, detail: "\(fault.detail)", id: id?.bytes)
    }

    /// The members that mean something; the others are ignored.
    private struct Found {
        var id: LineScanner.Member?
        var type: LineScanner.Member?
        var occurredAt: LineScanner.Member?
        var payload: LineScanner.Member?
        var contentType: LineScanner.Member?
        var body: LineScanner.Member?
        var actor: LineScanner.Member?

        init(_ scanner: borrowing LineScanner) {
            for member in scanner.members {
                switch member.key.count - 5 {
                case 2 where scanner.hasKey(member, "id"): id = member
                case 4 where scanner.hasKey(member, "type"): type = member
                case 4 where scanner.hasKey(member, "body"): body = member
                case 5 where scanner.hasKey(member, "actor"): actor = member
                case 7 where scanner.hasKey(member, "payload"): payload = member
                case 11 where scanner.hasKey(member, "occurred_at"): occurredAt = member
                case 12 where scanner.hasKey(member, "content_type"): contentType = member
                default: break
                }
            }
        }
    }

    private func transaction(
        _ found: Found, _ text: [UInt8], _ line: Range<Int>
    ) throws(LineFault) -> LineTransaction {
        guard let idText = unsafe scanner.string(found.id), let id = unsafe UUIDWords(idText) else {
            throw LineFault(.id, "id is missing or not a UUID")
        }
        guard let type = unsafe scanner.string(found.type), unsafe isLabel(type, max: 128) else {
            throw LineFault(.type, "type has 1 to 128 characters without controls")
        }
        guard let timeText = unsafe scanner.string(found.occurredAt),
            let time = unsafe DateTime(timeText)
        else { throw LineFault(.time, "occurred_at is an RFC 3339 time with offset") }
        let content = try unsafe content(found, type, time.microseconds)
        try checkActor(found)
        return LineTransaction(
            idHigh: id.high, idLow: id.low, occurredAtMicroseconds: time.microseconds,
            // Less than a day.
            offsetMinutes: Int16(truncatingIfNeeded: time.offsetMinutes), hash: content.hash,
            texts: texts(found, body: content.body, text, line))
    }

    private func isLabel(_ text: UnsafeRawBufferPointer, max: Int) -> Bool {
        let (characters, hasControl) = unsafe measure(text)
        return (1...max).contains(characters) && !hasControl
    }

    private func checkActor(_ found: Found) throws(LineFault) {
        guard let member = found.actor, member.kind != .null else { return }
        guard let text = unsafe scanner.string(found.actor),
            unsafe measure(text).characters <= 128
        else { throw LineFault(.json, "actor is a string of up to 128 characters") }
    }

    /// The content's hash, and the body if it is not JSON.
    private func content(
        _ found: Found, _ type: UnsafeRawBufferPointer, _ microseconds: Int64
    ) throws(LineFault) -> (hash: ContentHash, body: [UInt8]?) {
        if let payload = found.payload {
            guard found.body == nil, found.contentType == nil else {
                throw LineFault(.body, "a transaction has payload or body, not both")
            }
            let hash = unsafe hasher.hash(
                type: type, microseconds: microseconds,
                payload: scanner.canonical.bytes(payload.value))
            return (hash, nil)
        }
        guard found.body != nil else {
            throw LineFault(.body, "a transaction has payload or body")
        }
        guard let contentType = unsafe scanner.string(found.contentType),
            unsafe isLabel(contentType, max: 255)
        else {
            throw LineFault(.body, "content_type has 1 to 255 characters without controls")
        }
        guard let text = unsafe scanner.string(found.body),
            let bytes = unsafe Base64.decode(text)
        else { throw LineFault(.body, "body is standard base64 with padding") }
        let hash = unsafe hasher.hash(
            type: type, microseconds: microseconds, contentType: contentType, body: bytes)
        return (hash, bytes)
    }

    /// Where the line's texts lie: in the line itself; in a copy with more behind it for a body, and
    /// for strings that are written with escapes.
    private func texts(
        _ found: Found, body: [UInt8]?, _ text: [UInt8], _ line: Range<Int>
    ) -> LineTransaction.Texts {
        let actor = found.actor.flatMap { $0.kind == .null ? nil : $0 }
        var isPlain = body == nil
        if let type = found.type { isPlain = isPlain && type.isPlainString }
        if let actor { isPlain = isPlain && actor.isPlainString }
        if isPlain {
            func range(_ member: LineScanner.Member?, quotes: Int) -> Range<Int32> {
                guard let member else { return 0..<0 }
                return Int32(
                    line.lowerBound + member.text.lowerBound + quotes)..<Int32(
                        line.lowerBound + member.text.upperBound - quotes)
            }
            return LineTransaction.Texts(
                bytes: text, type: range(found.type, quotes: 1),
                actor: actor.map { range($0, quotes: 1) }, contentType: nil,
                content: range(found.payload, quotes: 0),
                raw: Int32(line.lowerBound)..<Int32(line.upperBound))
        }
        var copy = Array(text[line])
        func append(_ member: LineScanner.Member?) -> Range<Int32> {
            let start = Int32(copy.count)
            if let value = unsafe scanner.string(member) { unsafe copy.append(contentsOf: value) }
            return start..<Int32(copy.count)
        }
        let type = append(found.type)
        let actorRange = actor.map { append($0) }
        guard let body else {
            let payload = found.payload?.text ?? 0..<0
            return LineTransaction.Texts(
                bytes: copy, type: type, actor: actorRange, contentType: nil,
                content: Int32(payload.lowerBound)..<Int32(payload.upperBound),
                raw: 0..<Int32(line.count))
        }
        let contentType = append(found.contentType)
        let start = Int32(copy.count)
        copy.append(contentsOf: body)
        return LineTransaction.Texts(
            bytes: copy, type: type, actor: actorRange, contentType: contentType,
            content: start..<Int32(copy.count), raw: 0..<Int32(line.count))
    }
}
