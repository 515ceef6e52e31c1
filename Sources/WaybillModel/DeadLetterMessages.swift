/// Which dead letters are meant; a member that is missing narrows nothing.
///
/// Query of `GET /admin/v1/dead-letters`, body of `POST /admin/v1/dead-letters/{retry,discard}`.
package struct DeadLetterFilter: Codable, Sendable, Equatable {
    package var tenant: TenantSlug?
    package var device: DeviceID?
    package var code: QuarantineCode?
    /// Set aside before this time.
    package var before: Timestamp?

    package init(
        tenant: TenantSlug? = nil, device: DeviceID? = nil, code: QuarantineCode? = nil,
        before: Timestamp? = nil
    ) {
        self.tenant = tenant
        self.device = device
        self.code = code
        self.before = before
    }
}

/// Which dead letters are listed.
package enum DeadLetterState: String, Codable, Sendable, CaseIterable {
    /// Waiting for an operator's decision.
    case open
    /// Settled by a retry, or discarded.
    case resolved
    case all
}

/// A bundle that was set aside, as an operator sees it: nothing of its content.
package struct DeadLetterSummary: Codable, Sendable, Equatable {
    package var id: DeadLetterID
    package var tenant: TenantSlug
    package var deviceID: DeviceID
    /// As the device called itself: untrusted text.
    package var deviceName: String
    package var bundleID: BundleID
    package var bundleDigest: Digest256
    package var receiptSeq: Int64
    package var code: String
    package var detail: String
    package var epoch: Int?
    /// Zipped bytes of each part.
    package var parts: [Int]
    package var bytes: Int
    /// The server node that has the bytes.
    package var node: String
    package var createdAt: Timestamp
    /// Retries that have failed.
    package var attempts: Int
    package var lastError: String?
    /// A retry was asked for and has not ended yet.
    package var retrying: Bool
    package var resolvedAt: Timestamp?
    /// `settled` or `discarded`.
    package var resolution: String?

    package init(
        id: DeadLetterID, tenant: TenantSlug, deviceID: DeviceID, deviceName: String,
        bundleID: BundleID, bundleDigest: Digest256, receiptSeq: Int64, code: String,
        detail: String, epoch: Int?, parts: [Int], bytes: Int, node: String, createdAt: Timestamp,
        attempts: Int, lastError: String?, retrying: Bool, resolvedAt: Timestamp?,
        resolution: String?
    ) {
        self.id = id
        self.tenant = tenant
        self.deviceID = deviceID
        self.deviceName = deviceName
        self.bundleID = bundleID
        self.bundleDigest = bundleDigest
        self.receiptSeq = receiptSeq
        self.code = code
        self.detail = detail
        self.epoch = epoch
        self.parts = parts
        self.bytes = bytes
        self.node = node
        self.createdAt = createdAt
        self.attempts = attempts
        self.lastError = lastError
        self.retrying = retrying
        self.resolvedAt = resolvedAt
        self.resolution = resolution
    }

    enum CodingKeys: String, CodingKey {
        case id, tenant, code, detail, epoch, parts, bytes, node, attempts, retrying, resolution
        case deviceID = "device_id"
        case deviceName = "device_name"
        case bundleID = "bundle_id"
        case bundleDigest = "bundle_sha256"
        case receiptSeq = "receipt_seq"
        case createdAt = "created_at"
        case lastError = "last_error"
        case resolvedAt = "resolved_at"
    }
}

/// `GET /admin/v1/dead-letters`: oldest first.
package struct DeadLetterPage: Codable, Sendable {
    package var deadLetters: [DeadLetterSummary]
    /// What to send as `after` for the page that follows; nil on the last one.
    package var next: DeadLetterID?
    /// Of the whole filter; on the first page only.
    package var total: Int?
    /// Zipped bytes of the whole filter; on the first page only.
    package var totalBytes: Int?

    package init(
        deadLetters: [DeadLetterSummary], next: DeadLetterID?, total: Int?, totalBytes: Int?
    ) {
        self.deadLetters = deadLetters
        self.next = next
        self.total = total
        self.totalBytes = totalBytes
    }

    enum CodingKeys: String, CodingKey {
        case next, total
        case deadLetters = "dead_letters"
        case totalBytes = "total_bytes"
    }
}

package enum JobKind {}
package typealias JobID = Identifier<JobKind>

/// Work that an operator has asked for and that takes its time: `GET|DELETE /admin/v1/jobs/{id}`.
///
/// Lives in the server's memory: a restart forgets it. What it had done by then is done.
package struct JobStatus: Codable, Sendable, Equatable {
    package enum State: String, Codable, Sendable {
        case waiting, running, done, cancelled
        /// It ended before its end; `detail` says why.
        case failed
    }

    /// One item that could not be done.
    package struct Failure: Codable, Sendable, Equatable {
        package var id: DeadLetterID
        package var detail: String

        package init(id: DeadLetterID, detail: String) {
            self.id = id
            self.detail = detail
        }
    }

    package var id: JobID
    /// `dead_letters.retry` or `dead_letters.discard`.
    package var kind: String
    package var filter: DeadLetterFilter
    package var state: State
    /// Items when the job began.
    package var total: Int
    package var done: Int
    package var failed: Int
    /// The first of those that failed, at most 20.
    package var failures: [Failure]
    package var detail: String?
    package var startedAt: Timestamp
    package var endedAt: Timestamp?

    package init(id: JobID, kind: String, filter: DeadLetterFilter, startedAt: Timestamp) {
        self.id = id
        self.kind = kind
        self.filter = filter
        state = .waiting
        total = 0
        done = 0
        failed = 0
        failures = []
        self.startedAt = startedAt
    }

    /// Nothing more will be done.
    package var hasEnded: Bool { state != .waiting && state != .running }

    enum CodingKeys: String, CodingKey {
        case id, kind, filter, state, total, done, failed, failures, detail
        case startedAt = "started_at"
        case endedAt = "ended_at"
    }
}
