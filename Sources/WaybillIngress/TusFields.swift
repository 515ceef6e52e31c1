internal import Foundation
internal import HTTPTypes
internal import WaybillModel
internal import WaybillUpload

/// What the header of a tus creation says, checked (tus 1.0.0: creation, concatenation, checksum).
struct TusFields {
    enum Kind: Equatable {
        case whole
        /// To be concatenated later.
        case piece
        /// Of pieces, by their URLs' last segments.
        case concatenation([UploadID])
    }

    let kind: Kind
    /// Nil while it is deferred.
    let byteCount: Int?
    /// Nil for a piece.
    let target: UploadTarget?
    /// `Upload-Metadata` as it was sent.
    let metadata: String?
    /// `Upload-Concat` as it was sent.
    let concatenation: String?

    static let extensions =
        "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,"
        + "concatenation"
    static let checksums: [(name: String, algorithm: DigestAlgorithm)] = [
        ("sha1", .sha1), ("sha256", .sha256), ("sha512", .sha512),
    ]

    /// - Throws: 400 with what is wrong.
    init(_ fields: HTTPFields) throws(Problem) {
        concatenation = fields[.uploadConcat]
        kind = try concatenation.map(Self.kind) ?? .whole
        metadata = fields[.uploadMetadata]
        let values = try Self.metadata(metadata ?? "")
        target = kind == .piece ? nil : try Self.target(values)
        byteCount = try Self.byteCount(fields, kind)
    }

    private static func byteCount(_ fields: HTTPFields, _ kind: Kind) throws(Problem) -> Int? {
        if case .concatenation = kind {
            guard fields[.uploadLength] == nil else {
                throw Problem(
                    .invalidRequest, "Upload-Length of a concatenation is that of its pieces.")
            }
            return nil
        }
        let isDeferred = fields[.uploadDeferLength] != nil
        guard fields[.uploadDeferLength] ?? "1" == "1" else {
            throw Problem(.invalidRequest, "Upload-Defer-Length is 1 or is not sent.")
        }
        guard let text = fields[.uploadLength] else {
            guard isDeferred else {
                throw Problem(
                    .invalidRequest, "Send Upload-Length, or `Upload-Defer-Length: 1`.")
            }
            return nil
        }
        guard !isDeferred, let byteCount = StructuredItem.integer(text) else {
            throw Problem(
                .invalidRequest, "Upload-Length is a number, and there is none to defer then.")
        }
        return byteCount
    }

    private static func kind(_ text: String) throws(Problem) -> Kind {
        if text == "partial" { return .piece }
        guard text.hasPrefix("final;") else {
            throw Problem(.invalidRequest, "Upload-Concat is `partial` or `final;` and URLs.")
        }
        var ids: [UploadID] = []
        for url in text.dropFirst("final;".count).split(separator: " ") {
            // Absolute or path-only: the upload's name says it all.
            guard let last = url.split(separator: "/").last, url.contains("/uploads/"),
                let id = UploadID(last)
            else { throw Problem(UploadError.notConcatenable) }
            ids.append(id)
        }
        guard !ids.isEmpty, Set(ids).count == ids.count else {
            throw Problem(.invalidRequest, "Upload-Concat names one piece or more, each once.")
        }
        return .concatenation(ids)
    }

    /// Keys with their values; a key without a value has none.
    private static func metadata(_ text: String) throws(Problem) -> [String: [UInt8]] {
        var values: [String: [UInt8]] = [:]
        for pair in text.split(separator: ",") {
            let words = pair.split(separator: " ")
            guard let key = words.first, words.count <= 2, values[String(key)] == nil,
                let value = Data(base64Encoded: String(words.dropFirst().first ?? ""))
            else {
                throw Problem(
                    .invalidRequest, "Upload-Metadata has pairs of a key and a value in base64.")
            }
            values[String(key)] = Array(value)
        }
        return values
    }

    private static func target(_ values: [String: [UInt8]]) throws(Problem) -> UploadTarget {
        guard let id = values["bundle_id"], let bundleID = BundleID(ascii: id[...]) else {
            throw Problem(
                .invalidRequest, "Upload-Metadata needs `bundle_id`, the bundle's UUID in base64.")
        }
        let part = try number("part", values) ?? 1
        let partCount = try number("parts", values) ?? 1
        return UploadTarget(
            bundleID: bundleID, part: part, partCount: partCount, epoch: try number("epoch", values)
        )
    }

    private static func number(
        _ key: String, _ values: [String: [UInt8]]
    ) throws(Problem) -> Int? {
        guard let value = values[key] else { return nil }
        guard let number = StructuredItem.integer(String(decoding: value, as: UTF8.self)),
            (1...Int(Int32.max)).contains(number)
        else { throw Problem(.invalidRequest, "Upload-Metadata: `\(key)` is a number from 1.") }
        return number
    }

    /// The digest that `Upload-Checksum` tells of a request's bytes; nil without one.
    ///
    /// - Throws: 400 for an algorithm that was not offered.
    static func checksum(_ fields: HTTPFields) throws(Problem) -> ExpectedDigest? {
        guard let text = fields[.uploadChecksum] else { return nil }
        let words = text.split(separator: " ")
        guard words.count == 2,
            let algorithm = checksums.first(where: { $0.name == words[0] })?.algorithm,
            let bytes = Data(base64Encoded: String(words[1])), bytes.count == algorithm.byteCount
        else {
            throw Problem(
                .invalidRequest, "Upload-Checksum is one of \(offered) and a digest in base64.")
        }
        return ExpectedDigest(algorithm: algorithm, bytes: Array(bytes))
    }

    static var offered: String { checksums.map(\.name).joined(separator: ",") }
}
