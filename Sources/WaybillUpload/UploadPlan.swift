internal import Crypto
package import WaybillModel

/// The name of an upload in URLs: 128 random bits, 32 hexadecimal digits in lower case.
package struct UploadID: Hashable, Sendable, CustomStringConvertible {
    let bytes: [UInt8]

    /// A new one, from the system's random numbers.
    init() {
        var generator = SystemRandomNumberGenerator()
        bytes = (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    /// Nil for what is none.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count == 32, text == text.lowercased(),
            let bytes = Hexadecimal.decode(text)
        else { return nil }
        self.bytes = bytes
    }

    init?(bytes: ArraySlice<UInt8>) {
        guard bytes.count == 16 else { return nil }
        self.bytes = Array(bytes)
    }

    package var description: String { Hexadecimal.encode(bytes) }
}

/// The part that an upload's bytes are for.
package struct UploadTarget: Sendable, Equatable {
    package var bundleID: BundleID
    /// From 1.
    package var part: Int
    /// How many parts the bundle has; nil where the bundle has to be declared already.
    package var partCount: Int?
    /// As the device named it.
    package var epoch: Int?

    package init(bundleID: BundleID, part: Int, partCount: Int?, epoch: Int?) {
        self.bundleID = bundleID
        self.part = part
        self.partCount = partCount
        self.epoch = epoch
    }
}

/// What a device said when it began an upload; it never changes.
package struct UploadPlan: Sendable, Equatable {
    package var tenant: TenantID
    package var tenantSlug: TenantSlug
    package var deviceID: DeviceID
    /// Nil for a piece that is concatenated with others later.
    package var target: UploadTarget?
    /// Digests of all bytes, to check at the end.
    package var expected: [ExpectedDigest]
    /// Digests that the device wants to be told at the end.
    package var wanted: [DigestAlgorithm]
    /// With its last byte it is complete, as tus has it; else when the device says so.
    package var endsAtLength: Bool
    /// `Upload-Metadata` as it was sent, for those who ask.
    package var metadata: String?
    /// `Upload-Concat` as it was sent, likewise.
    package var concatenation: String?
    package var createdAt: Timestamp
    /// The peer's address.
    package var source: String?

    package init(
        tenant: TenantID, tenantSlug: TenantSlug, deviceID: DeviceID, target: UploadTarget?,
        expected: [ExpectedDigest] = [], wanted: [DigestAlgorithm] = [], endsAtLength: Bool = false,
        metadata: String? = nil, concatenation: String? = nil, createdAt: Timestamp,
        source: String?
    ) {
        self.tenant = tenant
        self.tenantSlug = tenantSlug
        self.deviceID = deviceID
        self.target = target
        self.expected = expected
        self.wanted = wanted
        self.endsAtLength = endsAtLength
        self.metadata = metadata
        self.concatenation = concatenation
        self.createdAt = createdAt
        self.source = source
    }

    /// The bundle that it is for; nil for a piece.
    package var bundleKey: BundleKey? {
        target.map { BundleKey(deviceID: deviceID, bundleID: $0.bundleID) }
    }

    /// Hash functions that have to run over all bytes besides SHA-256.
    var algorithms: Set<DigestAlgorithm> { Set(expected.map(\.algorithm) + wanted) }
}

/// How far an upload has come, as far as the disk knows.
package struct UploadMark: Sendable, Equatable {
    package enum Phase: UInt8, Sendable {
        /// More bytes may come.
        case receiving = 1
        /// All bytes are here; what becomes of them is not settled.
        case received = 2
        /// Its bytes are a part of their bundle, or were there already.
        case complete = 3
        /// It was given up, replaced or refused; its bytes are gone.
        case ended = 4
    }

    /// Rises with each mark.
    var sequence: UInt64 = 1
    package var phase = Phase.receiving
    /// Bytes that are synced.
    package var offset = 0
    /// How many bytes there will be; nil while that was not told.
    package var byteCount: Int?
    /// When it changed last; of one that is complete, when its bundle was seen settled.
    package var time: Timestamp
    /// The first bytes of the SHA-256 of what is synced.
    var check: [UInt8] = UploadMark.check(of: SHA256())

    init(time: Timestamp, byteCount: Int?) {
        self.time = time
        self.byteCount = byteCount
    }

    static let checkByteCount = 8

    static func check(of hash: SHA256) -> [UInt8] {
        Array(Array(hash.finalize()).prefix(checkByteCount))
    }

    /// The one that follows.
    func next(_ phase: Phase, at time: Timestamp) -> UploadMark {
        var mark = self
        mark.sequence += 1
        mark.phase = phase
        mark.time = time
        return mark
    }
}
