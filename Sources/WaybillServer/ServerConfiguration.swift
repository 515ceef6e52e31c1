internal import Foundation
internal import Logging
internal import WaybillHTTP
internal import WaybillIngress
internal import WaybillModel
internal import WaybillStore

/// What the server runs with: every value checked, no text left to read.
struct ServerConfiguration: Sendable {
    var dataDirectory = ""
    var deviceAddress = SocketAddress(host: "127.0.0.1", port: 8080)
    var adminAddress = SocketAddress(host: "127.0.0.1", port: 8081)
    var publicURL: String?
    var databaseURL: String?
    var databaseConnections = 4
    var tlsCertificate: String?
    var tlsKey: String?
    var trustedProxies: [AddressRange] = []
    /// Origins whose pages may call the device side; `*` for all.
    var corsOrigins: Set<String> = []
    var migrates = true
    var listeners = 2
    var listenersMax = 256
    var attemptsMax = 5
    var failingMax = Duration.seconds(600)
    var leaseDuration = Duration.seconds(300)
    var rootKeyFile = ""
    var masterKeyFile = ""
    var previousMasterKeyFiles: [String] = []
    var logLevel = Logger.Level.info
    var logsText = false
    var segmentBytes = 64 << 20
    var inlineBytesMax = 256 << 10
    var limits = Limits()
    /// Nil: the gate's own.
    var diskFreeFloor: Int?
    var backlogBundlesMax = 0
    var backlogBytesMax = 0
    var failureRate = Rate(perSecond: 0, burst: 1)
    var deadLetterRetention: Duration = .seconds(90 * 86_400)
    var deadLetterBytesMax = 10 << 30
    var store = StoreOptions()
    var connection = ConnectionLimits()
    var connectionsMax = 10_000
    var requestsInProgressMax = 64
    var openBundleDays = 30

    /// Reads every setting; throws all problems at once.
    init(_ layers: SettingLayers) throws(ConfigurationFault) {
        var reader = SettingReader(layers)
        dataDirectory = reader.absolutePath("data-dir") ?? ""
        deviceAddress = reader.address("device-address") ?? deviceAddress
        adminAddress = reader.address("admin-address") ?? adminAddress
        publicURL = reader.url("public-url")
        databaseURL = reader.text("database-url")
        databaseConnections = reader.integer("database-connections", in: 1...64)
        tlsCertificate = reader.readableFile("tls-certificate")
        tlsKey = reader.readableFile("tls-key")
        trustedProxies = reader.ranges("trusted-proxy")
        corsOrigins = reader.origins("cors-origins")
        migrates = reader.flag("migrate")
        listenersMax = reader.integer("listeners-max", in: 1...256)
        listeners = reader.integer("listeners", in: 0...256)
        attemptsMax = reader.integer("attempts-max", in: 1...1000)
        failingMax = .seconds(reader.integer("failing-seconds-max", in: 0...86_400))
        leaseDuration = reader.duration("lease-duration", in: .seconds(1) ... .seconds(3600))
        rootKeyFile = reader.absolutePath("root-key-file") ?? dataDirectory + "/keys/root.key"
        masterKeyFile = reader.absolutePath("master-key-file") ?? dataDirectory + "/keys/master.key"
        previousMasterKeyFiles = reader.absolutePaths("previous-master-key-files")
        logLevel = reader.choice("log-level", Logger.Level.init(rawValue:)) ?? .info
        logsText =
            reader.choice("log-format") { ["json", "text"].contains($0) ? $0 : nil } == "text"
        segmentBytes = reader.byteCount("segment-bytes", in: 1 << 20...1 << 30)
        inlineBytesMax = reader.byteCount("inline-bytes-max", in: 0...16 << 20)
        limits.recordBytesMax = reader.byteCount("record-bytes-max", in: 1 << 10...64 << 20)
        limits.partBytesMax = reader.byteCount("part-bytes-max", in: 1 << 10...1 << 32)
        limits.partUnzippedBytesMax = reader.byteCount(
            "part-unzipped-bytes-max", in: 1 << 10...1 << 34)
        limits.partRatioMax = reader.integer("part-ratio-max", in: 1...1032)
        limits.bundleBytesMax = reader.byteCount("bundle-bytes-max", in: 1 << 10...1 << 40)
        limits.bundleUnzippedBytesMax = reader.byteCount(
            "bundle-unzipped-bytes-max", in: 1 << 10...1 << 42)
        limits.bundlePartsMax = reader.integer("bundle-parts-max", in: 1...1000)
        limits.openBundlesMax = reader.integer("open-bundles-max", in: 1...1000)
        limits.openBytesMax = reader.byteCount("open-bytes-max", in: 1 << 10...1 << 40)
        openBundleDays = reader.integer("open-bundle-days", in: 1...3650)
        limits.bundleTransactionsMax = reader.integer(
            "bundle-transactions-max", in: 1...10_000_000)
        readPressure(&reader)
        deadLetterRetention = reader.duration(
            "dead-letter-retention", in: .seconds(1)...(.seconds(36_500 * 86_400)))
        deadLetterBytesMax = reader.byteCount("dead-letter-bytes-max", in: 0...1 << 50)
        store.epochGrace = .seconds(24 * 3600 * reader.integer("epoch-grace", in: 0...36_500))
        store.hasBackupPolicy =
            reader.choice("backup-policy") { ["none", "recorded"].contains($0) ? $0 : nil }
            == "recorded"
        var problems = reader.problems
        problems += contradictions()
        guard problems.isEmpty else { throw ConfigurationFault(problems: problems) }
    }

    /// Where the server begins to refuse.
    private mutating func readPressure(_ reader: inout SettingReader) {
        if reader.text("disk-free-floor") != "auto" {
            diskFreeFloor = reader.byteCount("disk-free-floor", in: 0...1 << 50)
        }
        backlogBundlesMax = reader.integer("backlog-bundles-max", in: 0...1 << 40)
        backlogBytesMax = reader.byteCount("backlog-bytes-max", in: 0...1 << 50)
        limits.requestsPerSecond = reader.integer("rate-requests", in: 0...1_000_000)
        limits.requestsBurst = reader.integer("rate-requests-burst", in: 1...1_000_000)
        limits.bytesPerSecond = reader.byteCount(
            "rate-bytes", in: 1 << 10...1 << 40, mayBeNone: true)
        limits.bytesBurst = reader.byteCount("rate-bytes-burst", in: 1 << 10...1 << 40)
        requestsInProgressMax = reader.integer(
            "requests-in-progress-max", in: 1...1_000_000)
        connectionsMax = reader.integer("connections-max", in: 1...1_000_000)
        limits.headerBytesMax = reader.byteCount("header-bytes-max", in: 1 << 10...1 << 20)
        connection.headBytesMax = limits.headerBytesMax
        connection.headDeadline = reader.duration(
            "header-deadline", in: .seconds(1) ... .seconds(600))
        limits.headerSecondsMax = Int(connection.headDeadline.components.seconds)
        connection.idleTimeout = reader.duration(
            "idle-timeout", in: .seconds(1) ... .seconds(3600))
        connection.bytesPerSecondMin = reader.byteCount("body-rate-min", in: 0...1 << 30)
        connection.rateWindow = reader.duration(
            "body-rate-window", in: .seconds(1) ... .seconds(600))
        limits.bodyBytesPerSecondMin = connection.bytesPerSecondMin
        limits.bodyRateSeconds = Int(connection.rateWindow.components.seconds)
        connection.shutdownGrace = reader.duration(
            "shutdown-grace", in: .seconds(1) ... .seconds(600))
        failureRate = Rate(
            perSecond: reader.integer("rate-failures", in: 0...1_000_000),
            burst: reader.integer("rate-failures-burst", in: 1...1_000_000))
    }

    /// True when TLS is spoken by the server itself.
    var usesTLS: Bool { tlsCertificate != nil && tlsKey != nil }

    private func contradictions() -> [String] {
        var problems: [String] = []
        if (tlsCertificate == nil) != (tlsKey == nil) {
            problems.append("tls-certificate and tls-key: give both or neither")
        }
        if tlsCertificate == nil, !deviceAddress.isLoopback, trustedProxies.isEmpty {
            problems.append(
                "device-address: \(deviceAddress) is not loopback; give tls-certificate and "
                    + "tls-key, or trusted-proxy for a proxy that ends TLS")
        }
        if !adminAddress.isLoopback {
            problems.append("admin-address: \(adminAddress) is not loopback")
        }
        if listeners > listenersMax {
            problems.append("listeners: \(listeners) is over listeners-max \(listenersMax)")
        }
        return problems
    }
}
