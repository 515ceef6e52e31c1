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

/// `GET /admin/v1/invitations?tenant=`: never with its code, of which only a hash is kept.
package struct InvitationSummary: Codable, Sendable, Equatable {
    package enum State: String, Codable, Sendable {
        case open, used, expired
    }

    package var createdAt: Timestamp
    package var expiresAt: Timestamp
    package var state: State
    package var usedAt: Timestamp?
    /// The device that was enrolled with it.
    package var deviceID: DeviceID?
    /// It is for the next epoch of a device that there is.
    package var rotates: Bool

    package init(
        createdAt: Timestamp, expiresAt: Timestamp, state: State, usedAt: Timestamp?,
        deviceID: DeviceID?, rotates: Bool
    ) {
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.state = state
        self.usedAt = usedAt
        self.deviceID = deviceID
        self.rotates = rotates
    }

    enum CodingKeys: String, CodingKey {
        case state, rotates
        case createdAt = "created_at"
        case expiresAt = "expires_at"
        case usedAt = "used_at"
        case deviceID = "device_id"
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

/// Body of `PUT /admin/v1/listeners`: a target, or bounds to choose one within.
package struct ListenerRequest: Codable, Sendable {
    /// Ends automatic scaling, unless `autoscale` asks for it.
    package var target: Int?
    package var autoscale: Bool?
    /// With `autoscale` only.
    package var min: Int?
    package var max: Int?

    package init(target: Int) {
        self.target = target
    }

    /// Asks for automatic scaling.
    package init(min: Int, max: Int) {
        autoscale = true
        self.min = min
        self.max = max
    }
}

/// `GET /admin/v1/listeners/{n}`.
package struct ListenerSummary: Codable, Sendable, Equatable {
    package enum State: String, Codable, Sendable {
        case busy, idle
        /// It finishes its batch and is then gone.
        case ending
        case stopped
    }

    /// From 0.
    package var number: Int
    package var state: State
    /// When it took the batch it holds.
    package var busySince: Timestamp?
    /// Bundles in that batch; 0 without one.
    package var batch: Int
    /// Bundles settled under this number since the server began.
    package var settled: Int

    package init(number: Int, state: State, busySince: Timestamp?, batch: Int, settled: Int) {
        self.number = number
        self.state = state
        self.busySince = busySince
        self.batch = batch
        self.settled = settled
    }

    enum CodingKeys: String, CodingKey {
        case number, state, batch, settled
        case busySince = "busy_since"
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
    /// Bytes of the unsettled bundles' parts; 0 with an empty queue.
    package var bytes: Int
    package var deadLetters: Int
    /// Bytes of the log's files on disk, allocated and not yet used ones included.
    package var logBytes: Int
    /// Log segments on disk.
    package var segments: Int
    /// False after a failed sync: the server no longer acknowledges.
    package var isHealthy: Bool
    /// Nothing is handed out to listeners.
    package var isPaused: Bool
    /// Nothing new is taken.
    package var isDraining: Bool
    /// Keys that the log is sealed under, that of new segments first.
    package var masterKeys: [QueueMasterKey]
    /// Bundles that were acknowledged, are damaged and were not sent again yet.
    package var lost: Int
    /// The first of them, at most 100.
    package var lostBundles: [LostBundleReport]
    /// Damage in the log that the start found, or that was found since where an index had to be made
    /// again.
    package var faultCount: Int
    /// The first of it in words, at most 100.
    package var faults: [String]

    package init(
        depth: Int, leased: Int, oldestAgeSeconds: Double, bytes: Int, deadLetters: Int,
        logBytes: Int, segments: Int, isHealthy: Bool, isPaused: Bool, isDraining: Bool,
        masterKeys: [QueueMasterKey],
        lost: Int = 0, lostBundles: [LostBundleReport] = [], faultCount: Int = 0,
        faults: [String] = []
    ) {
        self.depth = depth
        self.leased = leased
        self.oldestAgeSeconds = oldestAgeSeconds
        self.bytes = bytes
        self.deadLetters = deadLetters
        self.logBytes = logBytes
        self.segments = segments
        self.isHealthy = isHealthy
        self.isPaused = isPaused
        self.isDraining = isDraining
        self.masterKeys = masterKeys
        self.lost = lost
        self.lostBundles = lostBundles
        self.faultCount = faultCount
        self.faults = faults
    }

    enum CodingKeys: String, CodingKey {
        case depth, leased, bytes, segments, lost, faults
        case lostBundles = "lost_bundles"
        case faultCount = "fault_count"
        case oldestAgeSeconds = "oldest_age_seconds"
        case deadLetters = "dead_letters"
        case logBytes = "log_bytes"
        case isHealthy = "healthy"
        case isPaused = "paused"
        case isDraining = "draining"
        case masterKeys = "master_keys"
    }
}

/// A master key of the queue's log.
package struct QueueMasterKey: Codable, Sendable, Equatable {
    /// 16 hexadecimal digits, as segments name it.
    package var keyID: String
    /// New segments are made under it.
    package var isCurrent: Bool
    /// Log segments on disk under it; a previous key with none is needed no more.
    package var segments: Int

    package init(keyID: String, isCurrent: Bool, segments: Int) {
        self.keyID = keyID
        self.isCurrent = isCurrent
        self.segments = segments
    }

    enum CodingKeys: String, CodingKey {
        case segments
        case keyID = "key_id"
        case isCurrent = "current"
    }
}

/// A bundle that was acknowledged and whose bytes are not what they were.
package struct LostBundleReport: Codable, Sendable, Equatable {
    package var deviceID: DeviceID
    package var bundleID: BundleID
    /// The bundle's number in the queue's log.
    package var sequence: UInt64
    package var bytes: Int
    package var receivedAt: Timestamp
    package var foundAt: Timestamp

    package init(
        deviceID: DeviceID, bundleID: BundleID, sequence: UInt64, bytes: Int,
        receivedAt: Timestamp, foundAt: Timestamp
    ) {
        self.deviceID = deviceID
        self.bundleID = bundleID
        self.sequence = sequence
        self.bytes = bytes
        self.receivedAt = receivedAt
        self.foundAt = foundAt
    }

    enum CodingKeys: String, CodingKey {
        case sequence, bytes
        case deviceID = "device_id"
        case bundleID = "bundle_id"
        case receivedAt = "received_at"
        case foundAt = "found_at"
    }
}

/// `GET /admin/v1/queue/verify`: the loss report.
package struct QueueReport: Codable, Sendable, Equatable {
    /// Closed segments of the log that were read.
    package var segments: Int
    /// Records in them that are what was written.
    package var records: Int
    /// Damage that was found now, in words; some of it may have hit nothing that is still needed.
    package var faults: [String]
    /// Bundles that are lost and were not sent again yet, whenever that was found.
    package var lost: Int
    /// The first of them, at most 1000.
    package var lostBundles: [LostBundleReport]
    /// Why the walk ended before its end.
    package var error: String?

    package init(
        segments: Int, records: Int, faults: [String], lost: Int, lostBundles: [LostBundleReport],
        error: String? = nil
    ) {
        self.segments = segments
        self.records = records
        self.faults = faults
        self.lost = lost
        self.lostBundles = lostBundles
        self.error = error
    }

    enum CodingKeys: String, CodingKey {
        case segments, records, faults, lost, error
        case lostBundles = "lost_bundles"
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
