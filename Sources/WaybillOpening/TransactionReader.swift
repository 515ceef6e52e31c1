/// Turns a line into a transaction or says what is wrong with it.
struct TransactionReader: ~Copyable {
    private var scanner: LineScanner
    private let hasher: ContentHasher

    init(depthMax: Int, hasher: ContentHasher) {
        scanner = LineScanner(depthMax: depthMax)
        self.hasher = hasher
    }

    mutating func read(_ line: ArraySlice<UInt8>) -> EntryLine.Result {
        unsafe line.withUnsafeBytes { bytes in
            let fault = unsafe scanner.scan(bytes)
            let found = Found(scanner)
            do throws(LineFault) {
                if let fault { throw fault }
                return .transaction(try transaction(found, line))
            } catch {
                return rejected(error, found)
            }
        }
    }

    /// A line of which only the beginning is there.
    mutating func readOverlong(_ beginning: ArraySlice<UInt8>) -> EntryLine.Result {
        unsafe beginning.withUnsafeBytes { bytes in
            _ = unsafe scanner.scan(bytes)
            return rejected(
                LineFault(.tooLong, "the line is over the limit"), Found(scanner))
        }
    }

    private func rejected(_ fault: LineFault, _ found: borrowing Found) -> EntryLine.Result {
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
        _ found: Found, _ line: ArraySlice<UInt8>
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
        let (content, hash) = try unsafe content(found, type, time.microseconds, line)
        return LineTransaction(
            idHigh: id.high, idLow: id.low, type: unsafe String(decoding: type, as: UTF8.self),
            occurredAtMicroseconds: time.microseconds, offsetMinutes: time.offsetMinutes,
            actor: try actor(found), content: content, contentHash: hash)
    }

    private func isLabel(_ text: UnsafeRawBufferPointer, max: Int) -> Bool {
        let (characters, hasControl) = unsafe measure(text)
        return (1...max).contains(characters) && !hasControl
    }

    private func actor(_ found: Found) throws(LineFault) -> String? {
        guard let member = found.actor, member.kind != .null else { return nil }
        guard let text = unsafe scanner.string(found.actor),
            unsafe measure(text).characters <= 128
        else { throw LineFault(.json, "actor is a string of up to 128 characters") }
        return unsafe String(decoding: text, as: UTF8.self)
    }

    private func content(
        _ found: Found, _ type: UnsafeRawBufferPointer, _ microseconds: Int64,
        _ line: ArraySlice<UInt8>
    ) throws(LineFault) -> (LineTransaction.Content, hash: [UInt8]) {
        if let payload = found.payload {
            guard found.body == nil, found.contentType == nil else {
                throw LineFault(.body, "a transaction has payload or body, not both")
            }
            let text = payload.text
            let hash = unsafe hasher.hash(
                type: type, microseconds: microseconds,
                payload: scanner.canonical.bytes(payload.value))
            let start = line.startIndex
            return (.json(line[start + text.lowerBound..<start + text.upperBound]), hash)
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
        let name = unsafe String(decoding: contentType, as: UTF8.self)
        return (.body(contentType: name, bytes: bytes), hash)
    }
}
