/// `POST /v1/enrollments`.
package struct EnrollmentRequest: Codable, Sendable {
    package var code: String
    package var name: String
    package var requestID: RequestID?

    package init(code: String, name: String, requestID: RequestID?) {
        self.code = code
        self.name = name
        self.requestID = requestID
    }

    enum CodingKeys: String, CodingKey {
        case code, name
        case requestID = "request_id"
    }
}

/// The answer to an enrolment; `secret` and `token` are told this once.
package struct EnrollmentAnswer: Codable, Sendable {
    package var baseURL: String
    package var tenant: TenantSlug
    package var deviceID: DeviceID
    package var token: String
    /// 32 bytes, base64url.
    package var secret: String
    package var epoch: Int
    package var serverTime: Timestamp
    package var limits: Limits

    package init(
        baseURL: String, tenant: TenantSlug, deviceID: DeviceID, token: String, secret: String,
        epoch: Int, serverTime: Timestamp, limits: Limits
    ) {
        self.baseURL = baseURL
        self.tenant = tenant
        self.deviceID = deviceID
        self.token = token
        self.secret = secret
        self.epoch = epoch
        self.serverTime = serverTime
        self.limits = limits
    }

    enum CodingKeys: String, CodingKey {
        case tenant, token, secret, epoch, limits
        case baseURL = "base_url"
        case deviceID = "device_id"
        case serverTime = "server_time"
    }
}

/// `GET /v1/device`.
package struct DeviceStatus: Codable, Sendable {
    package var tenant: TenantSlug
    package var deviceID: DeviceID
    package var name: String
    package var epoch: Int
    /// Highest receipt number; 0 if none.
    package var last: Int64
    package var safeThrough: Int64
    package var confirmed: Int64
    /// Highest `device_seq` seen; nil if the device sends none.
    package var deviceSequence: Int64?
    /// Missing `device_seq` ranges, both ends included.
    package var gaps: [[Int64]]
    package var serverTime: Timestamp
    package var limits: Limits

    package init(
        tenant: TenantSlug, deviceID: DeviceID, name: String, epoch: Int, last: Int64,
        safeThrough: Int64, confirmed: Int64, deviceSequence: Int64?, gaps: [[Int64]],
        serverTime: Timestamp, limits: Limits
    ) {
        self.tenant = tenant
        self.deviceID = deviceID
        self.name = name
        self.epoch = epoch
        self.last = last
        self.safeThrough = safeThrough
        self.confirmed = confirmed
        self.deviceSequence = deviceSequence
        self.gaps = gaps
        self.serverTime = serverTime
        self.limits = limits
    }

    enum CodingKeys: String, CodingKey {
        case tenant, name, epoch, last, confirmed, gaps, limits
        case deviceID = "device_id"
        case safeThrough = "safe_through"
        case deviceSequence = "device_seq"
        case serverTime = "server_time"
    }
}

/// One part of a bundle's status.
package struct PartStatus: Codable, Sendable, Equatable {
    package var part: Int
    /// Bytes; nil when not yet known.
    package var size: Int?
    /// Synced bytes.
    package var received: Int
    package var complete: Bool
    /// Absolute URL to go on with; nil once there is nothing to upload.
    package var upload: String?

    package init(part: Int, size: Int?, received: Int, complete: Bool, upload: String?) {
        self.part = part
        self.size = size
        self.received = received
        self.complete = complete
        self.upload = upload
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(part, forKey: .part)
        try container.encode(size, forKey: .size)
        try container.encode(received, forKey: .received)
        try container.encode(complete, forKey: .complete)
        try container.encode(upload, forKey: .upload)
    }
}

/// `GET /v1/bundles/{id}` and the answer to an upload.
package struct BundleStatus: Codable, Sendable {
    package var bundleID: BundleID
    package var state: BundleState
    package var parts: [PartStatus]
    /// The receipt as signed; nil (sent as null) until there is one.
    package var receipt: JSONValue?

    package init(bundleID: BundleID, state: BundleState, parts: [PartStatus], receipt: JSONValue?) {
        self.bundleID = bundleID
        self.state = state
        self.parts = parts
        self.receipt = receipt
    }

    enum CodingKeys: String, CodingKey {
        case state, parts, receipt
        case bundleID = "bundle_id"
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(bundleID, forKey: .bundleID)
        try container.encode(state, forKey: .state)
        try container.encode(parts, forKey: .parts)
        try container.encode(receipt, forKey: .receipt)
    }
}

/// `GET /v1/receipts`. The server joins stored texts instead of encoding this.
package struct ReceiptPage: Codable, Sendable {
    package var receipts: [JSONValue]
    package var last: Int64
    package var safeThrough: Int64

    enum CodingKeys: String, CodingKey {
        case receipts, last
        case safeThrough = "safe_through"
    }
}

/// `POST /v1/receipts/confirm`.
package struct Confirmation: Codable, Sendable {
    package var through: Int64

    package init(through: Int64) {
        self.through = through
    }
}

/// `GET /.well-known/waybill-keys.json`.
package struct ReceiptKeySet: Codable, Sendable {
    package var keys: [ReceiptKey]

    package init(keys: [ReceiptKey]) {
        self.keys = keys
    }
}

/// One public key with its validity.
package struct ReceiptKey: Codable, Sendable, Equatable {
    package var keyID: String
    /// 32 bytes, base64url.
    package var publicKey: String
    package var notBefore: Timestamp
    package var notAfter: Timestamp?

    package init(keyID: String, publicKey: String, notBefore: Timestamp, notAfter: Timestamp?) {
        self.keyID = keyID
        self.publicKey = publicKey
        self.notBefore = notBefore
        self.notAfter = notAfter
    }

    enum CodingKeys: String, CodingKey {
        case keyID = "key_id"
        case publicKey = "public_key"
        case notBefore = "not_before"
        case notAfter = "not_after"
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(keyID, forKey: .keyID)
        try container.encode(publicKey, forKey: .publicKey)
        try container.encode(notBefore, forKey: .notBefore)
        try container.encode(notAfter, forKey: .notAfter)
    }
}
