internal import Foundation
internal import Logging
internal import WaybillModel

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
    var migrates = true
    var listeners = 2
    var listenersMax = 256
    var rootKeyFile = ""
    var masterKeyFile = ""
    var logLevel = Logger.Level.info
    var logsText = false
    var segmentBytes = 64 << 20
    var inlineBytesMax = 256 << 10
    var limits = Limits()

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
        migrates = reader.flag("migrate")
        listenersMax = reader.integer("listeners-max", in: 1...256)
        listeners = reader.integer("listeners", in: 0...256)
        rootKeyFile = reader.absolutePath("root-key-file") ?? dataDirectory + "/keys/root.key"
        masterKeyFile = reader.absolutePath("master-key-file") ?? dataDirectory + "/keys/master.key"
        logLevel = reader.choice("log-level", Logger.Level.init(rawValue:)) ?? .info
        logsText =
            reader.choice("log-format") { ["json", "text"].contains($0) ? $0 : nil } == "text"
        segmentBytes = reader.byteCount("segment-bytes", in: 1 << 20...1 << 32)
        inlineBytesMax = reader.byteCount("inline-bytes-max", in: 0...16 << 20)
        limits.recordBytesMax = reader.byteCount("record-bytes-max", in: 1 << 10...64 << 20)
        limits.partBytesMax = reader.byteCount("part-bytes-max", in: 1 << 10...1 << 32)
        limits.partUnzippedBytesMax = reader.byteCount(
            "part-unzipped-bytes-max", in: 1 << 10...1 << 34)
        limits.partRatioMax = reader.integer("part-ratio-max", in: 1...1032)
        limits.bundleTransactionsMax = reader.integer(
            "bundle-transactions-max", in: 1...10_000_000)
        var problems = reader.problems
        problems += contradictions()
        guard problems.isEmpty else { throw ConfigurationFault(problems: problems) }
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
