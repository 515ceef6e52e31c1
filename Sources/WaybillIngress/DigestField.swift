internal import Foundation
package import HTTPTypes
package import WaybillModel
package import WaybillUpload

/// `Content-Digest` and `Repr-Digest` of RFC 9530: dictionaries of RFC 8941 with byte sequences.
package enum DigestField {
    /// All digests that are to be checked; algorithms that are not known here are left out.
    ///
    /// - Throws: 400 for a field that is not such a dictionary, or a digest of the wrong length.
    package static func expectations(in fields: HTTPFields) throws(Problem) -> [ExpectedDigest] {
        try expectations(in: fields, [.contentDigest, .reprDigest])
    }

    /// As ``expectations(in:)``, of some of the fields.
    static func expectations(
        in fields: HTTPFields, _ names: [HTTPField.Name]
    ) throws(Problem) -> [ExpectedDigest] {
        var expected: [ExpectedDigest] = []
        for name in names {
            guard let value = fields[name] else { continue }
            for (key, bytes) in try parse(value, name) {
                guard let algorithm = algorithm(key) else { continue }
                guard let bytes, bytes.count == algorithm.byteCount else {
                    throw malformed(name)
                }
                expected.append(ExpectedDigest(algorithm: algorithm, bytes: bytes))
            }
        }
        return expected
    }

    /// What `Want-Repr-Digest` asks for; a field that is not understood asks for nothing.
    static func wanted(in fields: HTTPFields) -> [DigestAlgorithm] {
        (fields[.wantReprDigest] ?? "").split(separator: ",").compactMap { member in
            let pair = member.split(separator: "=").map { $0.trimmingCharacters(in: .whitespaces) }
            guard pair.count == 2, let weight = Int(pair[1]), weight > 0 else { return nil }
            return algorithm(pair[0])
        }
    }

    /// One member of a field's value.
    static func text(_ algorithm: DigestAlgorithm, _ bytes: [UInt8]) -> String {
        "\(algorithm.rawValue)=:\(Data(bytes).base64EncodedString()):"
    }

    private static func algorithm(_ key: String) -> DigestAlgorithm? {
        DigestAlgorithm(rawValue: key).flatMap {
            DigestAlgorithm.ofDigestFields.contains($0) ? $0 : nil
        }
    }

    /// Members in their order; nil for a value that is not a byte sequence.
    private static func parse(
        _ value: String, _ name: HTTPField.Name
    ) throws(Problem) -> [(String, [UInt8]?)] {
        var members: [String: [UInt8]?] = [:]
        var order: [String] = []
        for member in value.split(separator: ",", omittingEmptySubsequences: false) {
            let text = member.trimmingCharacters(in: .whitespaces)
            guard let equals = text.firstIndex(of: "=") else { throw malformed(name) }
            let key = String(text[..<equals])
            guard isKey(key) else { throw malformed(name) }
            if members[key] == nil { order.append(key) }
            // Of a repeated key the last value counts (RFC 8941, section 3.2).
            members[key] = .some(byteSequence(text[text.index(after: equals)...]))
        }
        return order.map { ($0, members[$0] ?? nil) }
    }

    private static func isKey(_ key: String) -> Bool {
        guard let first = key.utf8.first, first == UInt8(ascii: "*") || isLower(first) else {
            return false
        }
        return key.utf8.allSatisfy { byte in
            isLower(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || "_-.*".utf8.contains(byte)
        }
    }

    private static func isLower(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
    }

    /// `:base64:`, with parameters after it left out.
    private static func byteSequence(_ text: Substring) -> [UInt8]? {
        guard text.first == ":" else { return nil }
        let rest = text.dropFirst()
        guard let end = rest.firstIndex(of: ":") else { return nil }
        let after = rest[rest.index(after: end)...]
        guard after.isEmpty || after.first == ";" else { return nil }
        return Data(base64Encoded: String(rest[..<end])).map { Array($0) }
    }

    private static func malformed(_ name: HTTPField.Name) -> Problem {
        Problem(
            .invalidRequest,
            "\(name.rawName) is not of the form `sha-256=:<base64>:` (RFC 9530).")
    }
}

extension HTTPField.Name {
    /// Constants of valid names; the initialiser refuses only other characters than these have.
    static let contentDigest = known("Content-Digest")
    static let reprDigest = known("Repr-Digest")
    static let idempotencyKey = known("Idempotency-Key")
    static let lastEventID = known("Last-Event-ID")
    /// Tells nginx and its like to pass on at once what comes.
    static let accelBuffering = known("X-Accel-Buffering")
    static let waybillEpoch = known("Waybill-Epoch")
    static let forwardedFor = known("X-Forwarded-For")

    /// Of a valid name.
    static func known(_ text: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(text) else { preconditionFailure("\(text) is no name") }
        return name
    }
}
