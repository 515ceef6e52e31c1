internal import Crypto
internal import WaybillModel

/// Public keys by their id.
struct ReceiptKeys: Sendable {
    let keys: [String: Curve25519.Signing.PublicKey]

    init(_ set: ReceiptKeySet) throws {
        var keys: [String: Curve25519.Signing.PublicKey] = [:]
        for key in set.keys {
            guard let bytes = Base64URL.decode(key.publicKey), bytes.count == 32 else {
                throw LedgerFault.badKey(key.keyID)
            }
            keys[key.keyID] = try Curve25519.Signing.PublicKey(rawRepresentation: bytes)
        }
        self.keys = keys
    }
}

/// One receipt as the audit keeps it until its device is judged.
struct ReceiptFact {
    var entry: SpoolEntry
    var sequence: Int64
    /// In the run; nil for a bundle of another one.
    var number: Int?
    var bundleID: BundleID?
    /// Nil where the receipt is not genuine.
    var chain: (previous: Digest256, hash: Digest256)?
    var supersedes: Int64?
    /// Wall time that the server tells.
    var settledAt: Timestamp?
    /// Why it is not to be believed.
    var forgery: String?
    /// What it says otherwise than it had to.
    var difference: String?
}

extension JSONValue {
    /// Reads strictly: a member that stands twice would let two readers see two receipts.
    init(strictly bytes: [UInt8]) throws(JSONTextFault) {
        self = JSONValue(try JSONText(bytes))
    }

    private init(_ text: JSONText) {
        switch text {
        case .null: self = .null
        case .bool(let value): self = .bool(value)
        case .number(let digits): self = Double(digits).map { .number($0) } ?? .null
        case .string(let value): self = .string(value)
        case .array(let elements): self = .array(elements.map { JSONValue($0) })
        case .object(let members): self = .object(members.mapValues { JSONValue($0) })
        }
    }
}

/// Compares a receipt with what had to become of its bundle.
enum ReceiptComparison {
    /// A sentence of at most this many differences.
    private static let differencesMax = 5

    /// Nil where the receipt says what it had to.
    static func difference(
        _ document: JSONValue, device: DeviceID, expected: Expectation
    ) -> String? {
        var found: [String] = []
        func compare(_ member: String, _ actual: String?, _ wanted: String?) {
            guard actual != wanted else { return }
            found.append("\(member) is \(actual ?? "missing") instead of \(wanted ?? "missing")")
        }
        compare("device_id", document["device_id"]?.text, device.description)
        compare("bundle_sha256", document["bundle_sha256"]?.text, expected.digest.description)
        let state = expected.quarantine == nil ? "settled" : "quarantined"
        compare("state", document["state"]?.text, state)
        compare("code", document["code"]?.text, expected.quarantine?.rawValue)
        if expected.quarantine == nil, document["state"]?.text == state {
            for (name, wanted) in expected.counts.named {
                compare(
                    "counts.\(name)", document["counts"]?[name]?.integer.map { String($0) },
                    String(wanted))
            }
            found += exceptions(document["exceptions"], expected.exceptions)
        }
        guard !found.isEmpty else { return nil }
        let rest = found.count - differencesMax
        return found.prefix(differencesMax).joined(separator: ", ")
            + (rest > 0 ? ", and \(rest) more differences" : "")
    }

    private static func exceptions(
        _ list: JSONValue?, _ expected: [Expectation.Exception]
    ) -> [String] {
        guard case .array(let elements)? = list else { return ["exceptions is no list"] }
        var found: [String] = []
        var rest = expected[...]
        for element in elements {
            guard let told = ToldException(element) else {
                found.append("an exception that cannot be read")
                continue
            }
            for index in told.indexes {
                while let missing = rest.first, missing.index < index {
                    found.append("index \(missing.index) is not told as \(missing.outcome)")
                    rest.removeFirst()
                }
                guard let wanted = rest.first, wanted.index == index else {
                    found.append("index \(index) is told as \(told.outcome)")
                    continue
                }
                rest.removeFirst()
                if let difference = told.difference(from: wanted) {
                    found.append("index \(index): \(difference)")
                }
                // Enough is known, and a run may be as long as the bundle.
                if found.count > 1000 { return found }
            }
        }
        found += rest.prefix(1000).map { "index \($0.index) is not told as \($0.outcome)" }
        return found
    }
}

/// One exception of a receipt, a single one or a run of neighbours.
private struct ToldException {
    /// More transactions than a bundle may have are no run.
    private static let indexMax: Int64 = 10_000_000

    var indexes: Range<Int>
    var outcome: String
    var code: String?
    /// Nil for a run, which leaves ids out; else the id, or nil where the line had none.
    var id: String??

    init?(_ value: JSONValue) {
        guard let outcome = value["outcome"]?.text else { return nil }
        self.outcome = outcome
        code = value["code"]?.text
        if let index = value["index"]?.integer, (0..<Self.indexMax).contains(index) {
            indexes = Int(index)..<Int(index) + 1
            guard let id = value["id"], id == .null || id.text != nil else { return nil }
            self.id = .some(id.text)
        } else if let from = value["from"]?.integer, let count = value["count"]?.integer,
            (0..<Self.indexMax).contains(from), (1..<Self.indexMax).contains(count)
        {
            indexes = Int(from)..<Int(from + count)
            id = nil
        } else {
            return nil
        }
    }

    func difference(from wanted: Expectation.Exception) -> String? {
        if outcome != wanted.outcome.rawValue {
            return "\(outcome) instead of \(wanted.outcome.rawValue)"
        }
        if code != wanted.code?.rawValue {
            return "code \(code ?? "missing") instead of \(wanted.code?.rawValue ?? "none")"
        }
        if let id, id != wanted.id?.description {
            return "id \(id ?? "null") instead of \(wanted.id?.description ?? "null")"
        }
        return nil
    }
}

extension OutcomeCounts {
    fileprivate var named: [(String, Int)] {
        [
            ("accepted", accepted), ("duplicate", duplicate), ("rejected", rejected),
            ("conflict", conflict),
        ]
    }
}
