import Foundation
import Testing
import WaybillIngress
import WaybillModel

@testable import WaybillServer

/// A folder that is gone when the test is.
private final class Folder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "waybill-config-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        // What stays in the temporary folder harms nobody.
        try? FileManager.default.removeItem(atPath: path)
    }

    func write(_ text: String, to name: String, mode: Int = 0o600) throws -> String {
        let file = path + "/" + name
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
        return file
    }
}

@Suite struct ConfigurationTests {
    private func problems(
        _ commandLine: [String: String] = [:], environment: [String: String] = [:],
        file: String? = nil, secretsDirectory: String? = nil
    ) -> [String] {
        do {
            _ = try ServerConfiguration(
                SettingLayers(
                    commandLine: commandLine, environment: environment, file: file,
                    secretsDirectory: secretsDirectory))
            return []
        } catch {
            return error.problems
        }
    }

    @Test func theStrongestLayerWins() throws {
        let folder = try Folder()
        let file = try folder.write(
            "# ours\nlisteners = 3\nlog-level = debug\ndatabase-connections = 9\nsegment-bytes = 2MiB\n",
            to: "waybill.conf")
        try FileManager.default.createDirectory(
            atPath: folder.path + "/secrets", withIntermediateDirectories: true)
        _ = try folder.write("8\n", to: "secrets/database-connections")
        let layers = SettingLayers(
            commandLine: ["listeners": "5"],
            environment: ["WAYBILL_LISTENERS": "4", "WAYBILL_LOG_LEVEL": "error", "HOME": "/"],
            file: file, secretsDirectory: folder.path + "/secrets")
        let configuration = try ServerConfiguration(layers)
        #expect(configuration.listeners == 5)
        #expect(layers.values["listeners"]?.origin == .commandLine)
        #expect("\(configuration.logLevel)" == "error")
        #expect(layers.values["log-level"]?.origin == .environment)
        #expect(configuration.databaseConnections == 8)
        #expect(layers.values["database-connections"]?.origin == .secrets)
        #expect(configuration.segmentBytes == 2 << 20)
        #expect(layers.values["segment-bytes"]?.origin == .file)
        #expect(layers.values["data-dir"]?.origin == .standard)
    }

    @Test func allProblemsAreNamedAtOnce() throws {
        let folder = try Folder()
        let file = try folder.write(
            "colour = red\nlisteners = 1\nlisteners = 2\nnonsense\nlisteners-max = 1000\n",
            to: "waybill.conf")
        let found = problems(
            ["part-ratio-max": "many"], environment: ["WAYBILL_COLOR": "x"], file: file)
        #expect(found.count == 6)
        for word in [
            "WAYBILL_COLOR", "line 1: colour", "line 3: listeners", "line 4", "listeners-max",
            "part-ratio-max",
        ] {
            #expect(found.contains { $0.contains(word) }, "\(word) is not named in \(found)")
        }
    }

    /// As compose's `${X:-}` sends them.
    @Test func anEmptyValueIsNotTheBottomOfTheRange() {
        let withDefaults = Setting.catalogue.filter { $0.defaultText != nil }
        var environment: [String: String] = [:]
        for setting in Setting.catalogue { environment[setting.environmentName] = "" }
        let found = problems(environment: environment)
        #expect(found.count == withDefaults.count)
        for setting in withDefaults {
            #expect(found.contains { $0.hasPrefix("\(setting.key) (environment): is empty") })
        }
    }

    @Test func everySetOptionAtFaultIsNamed() throws {
        let layers = SettingLayers(
            commandLine: ["data-dir": "/tmp/x"],
            settings: [("nope", "1"), ("listeners", "999"), ("listeners", "3"), ("data-dir", "y")],
            environment: [:])
        #expect(layers.values["data-dir"]?.text == "/tmp/x")
        do {
            _ = try ServerConfiguration(layers)
            Issue.record("it is taken")
        } catch {
            #expect(error.problems.count == 3)
            for word in ["nope is not a setting", "listeners is set twice", "listeners (command"] {
                #expect(error.problems.contains { $0.contains(word) }, "\(error.problems)")
            }
        }
    }

    @Test(arguments: [
        ("segment-bytes", "1GiB", true), ("segment-bytes", "1073741825", false),
        ("segment-bytes", "4294967296", false), ("rate-bytes", "0", true),
        ("rate-bytes", "1", false), ("rate-bytes", "1023", false), ("rate-bytes", "1024", true),
    ]) func rangesEndWhereTheCodeDoes(key: String, text: String, isGood: Bool) {
        #expect(problems([key: text]).isEmpty == isGood)
    }

    @Test func devicesAreToldTheDeadlinesThatHold() throws {
        let configuration = try ServerConfiguration(
            SettingLayers(
                commandLine: [
                    "header-deadline": "7s", "body-rate-min": "2KiB", "body-rate-window": "2m",
                ], environment: [:]))
        #expect(configuration.limits.headerSecondsMax == 7)
        #expect(configuration.limits.bodyBytesPerSecondMin == 2048)
        #expect(configuration.limits.bodyRateSeconds == 120)
    }

    @Test func plainHTTPIsForLoopbackOrATrustedProxyOnly() {
        #expect(problems(["device-address": "127.0.0.1:0"]).isEmpty)
        #expect(problems(["device-address": "[::1]:8080"]).isEmpty)
        #expect(problems(["device-address": "0.0.0.0:8080"]).count == 1)
        #expect(
            problems(["device-address": "0.0.0.0:8080", "trusted-proxy": "10.0.0.0/8"]).isEmpty)
        #expect(problems(["admin-address": "192.0.2.1:8081"]).count == 1)
        #expect(problems(["tls-certificate": "/dev/null"]).count == 1)
    }

    @Test func originsAreWrittenAsBrowsersWriteThem() throws {
        let good =
            "https://app.example, capacitor://localhost,http://[::1]:8100,null,*,file://,app://My"
        let configuration = try ServerConfiguration(
            SettingLayers(commandLine: ["cors-origins": good], environment: [:]))
        #expect(
            configuration.corsOrigins == [
                "https://app.example", "capacitor://localhost", "http://[::1]:8100", "null", "*",
                "file://", "app://My",
            ])
        for bad in [
            "app.example", "https://app.example/", "https://App.example", "https://app.example:443",
            "http://app.example:80", "https://*.app.example", "https://a@app.example",
            "https://app.example,,*", "https://", "http://", "file:", "file:///",
        ] { #expect(problems(["cors-origins": bad]).count == 1, "\(bad)") }
    }

    @Test func onlyLoopbackAndTrustedProxiesSpeakPlainHTTP() throws {
        let configuration = try ServerConfiguration(
            SettingLayers(
                commandLine: [
                    "device-address": "0.0.0.0:8080",
                    "trusted-proxy": "10.0.0.0/8,fd00::/8,::ffff:172.16.0.0/108",
                ], environment: [:]))
        let admits = configuration.ingressOptions(
            DescriptorBudget(free: 100, connections: 10, listeners: 2, listenersAtStart: 2)
        ).admits
        // A socket for both families names an IPv4 peer as an IPv6 one.
        for peer in [
            "127.0.0.1", "::1", "10.1.2.3", "fd00::7", "::ffff:127.0.0.1", "::ffff:10.1.2.3",
            "172.31.0.1", "::ffff:172.31.0.1",
        ] { #expect(admits(peer)) }
        for peer in [
            "192.0.2.1", "2001:db8::1", "", "::ffff:192.0.2.1", "172.32.0.1", "::10.1.2.3",
        ] { #expect(!admits(peer)) }
    }

    @Test func theReadmeListsEverySetting() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
        for setting in Setting.catalogue {
            let row = readme.split(separator: "\n").first { $0.hasPrefix("| `\(setting.key)` |") }
            let text = try #require(row, "README.md does not list \(setting.key)")
            #expect(text.contains(setting.summary), "README.md says something else: \(text)")
            if let standard = setting.defaultText { #expect(text.contains("`\(standard)`")) }
        }
    }

    @Test(arguments: [("0", false), ("1", true), ("64", true), ("65", false), ("x", false)])
    func integersKeepTheirBounds(text: String, isGood: Bool) {
        #expect(problems(["database-connections": text]).isEmpty == isGood)
    }

    @Test(arguments: [
        ("1023", false), ("1024", true), ("1KiB", true), ("64 MiB", true), ("65MiB", false),
        ("-1", false), ("9223372036854775807GiB", false), ("1MB", false),
    ]) func byteCountsKeepTheirBounds(text: String, isGood: Bool) {
        #expect(problems(["record-bytes-max": text]).isEmpty == isGood)
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false),
        ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7", "192.0.2.8", false),
        ("192.0.2.128/25", "192.0.2.127", false), ("192.0.2.128/25", "192.0.2.129", true),
        ("fd00::/8", "fd12::1", true), ("fd00::/8", "10.0.0.1", false),
        ("0.0.0.0/0", "203.0.113.9", true),
    ]) func rangesHoldTheirAddresses(range: String, address: String, isInside: Bool) throws {
        #expect(try #require(AddressRange(range)).contains(address) == isInside)
    }

    @Test(arguments: ["", "10.0.0.0/33", "10.0.0/8", "fd00::/129", "host/8", "10.0.0.0/x"])
    func refusesOtherRanges(text: String) {
        #expect(AddressRange(text) == nil)
    }
}

@Suite struct KeyFileTests {
    @Test func isMadeOnceAndReadAgain() throws {
        let folder = try Folder()
        let path = folder.path + "/keys/root.key"
        let made = try KeyFile.load(path, mayCreate: true)
        #expect(made.isNew && made.key.count == 32)
        let read = try KeyFile.load(path, mayCreate: true)
        #expect(!read.isNew && read.key == made.key)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
        #expect((mode as? NSNumber)?.intValue == 0o600)
    }

    @Test func isNotMadeWhereDataNeedsTheOldOne() throws {
        let folder = try Folder()
        #expect(throws: ConfigurationFault.self) {
            try KeyFile.load(folder.path + "/master.key", mayCreate: false)
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/master.key"))
    }

    @Test(arguments: [
        (String(repeating: "ab", count: 32), 0o644), (String(repeating: "ab", count: 31), 0o600),
        (String(repeating: "zz", count: 32), 0o600), ("", 0o600),
    ]) func isRefusedWhenOthersMayReadItOrItIsNoKey(text: String, mode: Int) throws {
        let folder = try Folder()
        let path = try folder.write(text, to: "root.key", mode: mode)
        #expect(throws: ConfigurationFault.self) { try KeyFile.load(path, mayCreate: true) }
    }
}
