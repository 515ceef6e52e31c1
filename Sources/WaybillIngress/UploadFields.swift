internal import HTTPTypes
internal import WaybillModel
internal import WaybillUpload

/// What the header of a one-part upload says, checked.
struct UploadFields {
    let bundleID: BundleID
    /// Nil when the device named none.
    let epoch: Int?
    let digests: [ExpectedDigest]
    /// `Content-Length`; nil for a chunked body.
    let byteCount: Int?

    /// - Throws: 400, 415 with what is wrong.
    init(_ fields: HTTPFields) throws(Problem) {
        try Self.checkMediaType(fields)
        bundleID = try Self.bundleID(fields)
        epoch = try Self.epoch(fields)
        digests = try DigestField.expectations(in: fields)
        byteCount = fields[.contentLength].flatMap { Int($0) }
    }

    private static func checkMediaType(_ fields: HTTPFields) throws(Problem) {
        guard mediaType(fields) == "application/zip" else {
            throw Problem(
                .unsupportedMediaType,
                "A bundle of one part is sent as application/zip; "
                    + "one of many is declared as application/json.")
        }
        try refuseCoding(fields)
    }

    /// - Throws: 415 for a body that is not sent as it is.
    static func refuseCoding(_ fields: HTTPFields) throws(Problem) {
        if let coding = fields[.contentEncoding], coding.lowercased() != "identity" {
            throw Problem(
                .unsupportedMediaType, "A body is sent as it is, without Content-Encoding.")
        }
    }

    /// The one value of `Idempotency-Key`.
    ///
    /// - Throws: 400 when it is missing or no UUID.
    static func bundleID(_ fields: HTTPFields) throws(Problem) -> BundleID {
        let values = fields[values: .idempotencyKey]
        guard let value = values.first, !value.isEmpty else {
            throw Problem(
                .idempotencyKeyMissing, "Send the bundle's id as `Idempotency-Key: \"<uuid>\"`.")
        }
        var text = value.utf8[...]
        let quote = UInt8(ascii: "\"")
        if text.count >= 2, text.first == quote, text.last == quote {
            text = text.dropFirst().dropLast()
        }
        guard values.count == 1, let id = BundleID(ascii: text) else {
            throw Problem(.invalidRequest, "Idempotency-Key is not one UUID.")
        }
        return id
    }

    /// The value of `Waybill-Epoch`; nil without one.
    ///
    /// - Throws: 400 when it is no positive number.
    static func epoch(_ fields: HTTPFields) throws(Problem) -> Int? {
        guard let text = fields[.waybillEpoch] else { return nil }
        guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let epoch = Int32(text), epoch > 0
        else { throw Problem(.invalidRequest, "Waybill-Epoch is not a positive number.") }
        return Int(epoch)
    }

    /// The type and subtype of `Content-Type` in lower case; nil without one.
    static func mediaType(_ fields: HTTPFields) -> String? {
        guard let value = fields[.contentType] else { return nil }
        // As nearly everybody writes them.
        if value == "application/zip" || value == "application/json" { return value }
        let type = value.prefix { $0 != ";" }
        return type.split(separator: " ").joined().lowercased()
    }
}
