/// `GET|POST /admin/v1/tenants`.
package struct TenantSummary: Codable, Sendable {
    package var name: TenantSlug
    package var createdAt: Timestamp
    package var devices: Int

    package init(name: TenantSlug, createdAt: Timestamp, devices: Int) {
        self.name = name
        self.createdAt = createdAt
        self.devices = devices
    }

    enum CodingKeys: String, CodingKey {
        case name, devices
        case createdAt = "created_at"
    }
}

/// Body of `POST /admin/v1/tenants`.
package struct TenantRequest: Codable, Sendable {
    package var name: TenantSlug

    package init(name: TenantSlug) {
        self.name = name
    }
}

/// Body of `POST /admin/v1/invitations`.
package struct InvitationRequest: Codable, Sendable {
    package var tenant: TenantSlug
    package var count: Int

    package init(tenant: TenantSlug, count: Int) {
        self.tenant = tenant
        self.count = count
    }
}

/// One code, told once.
package struct Invitation: Codable, Sendable {
    package var code: String
    package var expiresAt: Timestamp

    package init(code: String, expiresAt: Timestamp) {
        self.code = code
        self.expiresAt = expiresAt
    }

    enum CodingKeys: String, CodingKey {
        case code
        case expiresAt = "expires_at"
    }
}

/// `GET /admin/v1/devices?tenant=`.
package struct DeviceSummary: Codable, Sendable {
    package var deviceID: DeviceID
    package var tenant: TenantSlug
    package var name: String
    package var epoch: Int
    package var enrolledAt: Timestamp
    package var revokedAt: Timestamp?
    package var lastReceipt: Int64
    package var confirmed: Int64

    package init(
        deviceID: DeviceID, tenant: TenantSlug, name: String, epoch: Int, enrolledAt: Timestamp,
        revokedAt: Timestamp?, lastReceipt: Int64, confirmed: Int64
    ) {
        self.deviceID = deviceID
        self.tenant = tenant
        self.name = name
        self.epoch = epoch
        self.enrolledAt = enrolledAt
        self.revokedAt = revokedAt
        self.lastReceipt = lastReceipt
        self.confirmed = confirmed
    }

    enum CodingKeys: String, CodingKey {
        case tenant, name, epoch, confirmed
        case deviceID = "device_id"
        case enrolledAt = "enrolled_at"
        case revokedAt = "revoked_at"
        case lastReceipt = "last_receipt"
    }
}

/// A backup as operators report it: `POST /admin/v1/backups`, `POST /admin/v1/backups/{id}/complete`.
package struct Backup: Codable, Sendable, Equatable {
    package var id: Int64
    /// It covers what was committed before.
    package var beganAt: Timestamp
    /// Nil while it is being taken.
    package var completedAt: Timestamp?

    package init(id: Int64, beganAt: Timestamp, completedAt: Timestamp?) {
        self.id = id
        self.beganAt = beganAt
        self.completedAt = completedAt
    }

    enum CodingKeys: String, CodingKey {
        case id
        case beganAt = "began_at"
        case completedAt = "completed_at"
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(id, forKey: .id)
        try container.encode(beganAt, forKey: .beganAt)
        try container.encode(completedAt, forKey: .completedAt)
    }
}

/// `GET|PUT /admin/v1/listeners`.
package struct ListenerStatus: Codable, Sendable, Equatable {
    package var target: Int
    package var running: Int
    package var busy: Int
    package var min: Int
    package var max: Int
    package var autoscale: Bool

    package init(target: Int, running: Int, busy: Int, min: Int, max: Int, autoscale: Bool) {
        self.target = target
        self.running = running
        self.busy = busy
        self.min = min
        self.max = max
        self.autoscale = autoscale
    }
}

/// Body of `PUT /admin/v1/listeners`.
package struct ListenerRequest: Codable, Sendable {
    package var target: Int

    package init(target: Int) {
        self.target = target
    }
}

/// `waybill queue status`.
package struct QueueStatus: Codable, Sendable, Equatable {
    /// Bundles that are not settled, those with a listener included.
    package var depth: Int
    /// Bundles that are with a listener.
    package var leased: Int
    /// Age of the oldest unsettled bundle; 0 with an empty queue.
    package var oldestAgeSeconds: Double
    /// Bytes of the log's files on disk.
    package var bytes: Int
    package var deadLetters: Int
    /// Log segments on disk.
    package var segments: Int
    /// False after a failed sync: the server no longer acknowledges.
    package var isHealthy: Bool

    package init(
        depth: Int, leased: Int, oldestAgeSeconds: Double, bytes: Int, deadLetters: Int,
        segments: Int, isHealthy: Bool
    ) {
        self.depth = depth
        self.leased = leased
        self.oldestAgeSeconds = oldestAgeSeconds
        self.bytes = bytes
        self.deadLetters = deadLetters
        self.segments = segments
        self.isHealthy = isHealthy
    }

    enum CodingKeys: String, CodingKey {
        case depth, leased, bytes, segments
        case oldestAgeSeconds = "oldest_age_seconds"
        case deadLetters = "dead_letters"
        case isHealthy = "healthy"
    }
}

/// `GET /admin/v1/status`.
package struct ServerStatus: Codable, Sendable {
    package var version: String
    package var startedAt: Timestamp
    package var databaseReachable: Bool
    package var queue: QueueStatus
    package var listeners: ListenerStatus

    package init(
        version: String, startedAt: Timestamp, databaseReachable: Bool, queue: QueueStatus,
        listeners: ListenerStatus
    ) {
        self.version = version
        self.startedAt = startedAt
        self.databaseReachable = databaseReachable
        self.queue = queue
        self.listeners = listeners
    }

    enum CodingKeys: String, CodingKey {
        case version, queue, listeners
        case startedAt = "started_at"
        case databaseReachable = "database_reachable"
    }
}
