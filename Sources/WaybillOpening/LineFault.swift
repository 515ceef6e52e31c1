/// What is wrong with a line.
struct LineFault: Error {
    /// The rejection codes of CONTRACT.md.
    enum Code: String {
        case json = "invalid_json"
        case utf8 = "invalid_utf8"
        case duplicateKey = "duplicate_key"
        case id = "invalid_id"
        case type = "invalid_type"
        case time = "invalid_time"
        case body = "invalid_body"
        case unstorable
        case tooDeep = "too_deep"
        case tooLong = "too_long"
    }

    let code: Code
    /// In words, without content.
    let detail: StaticString

    init(_ code: Code, _ detail: StaticString) {
        self.code = code
        self.detail = detail
    }
}
