import Foundation
import Testing

/// The module map of the architecture, as data: level, and what each target may import of others'.
private let moduleMap: [String: (level: Int, thirdParty: Set<String>)] = [
    "CLibpq": (0, []), "CLibcrypto": (0, []), "CZlib": (0, []), "CLibzip": (0, []),
    "CGlibc": (0, []),
    "CKeyLanes": (0, []), "CPhoneNetwork": (0, []),
    "DemoFlights": (0, []), "OpenAPIDocument": (0, []),
    "WaybillModel": (1, ["HTTPTypes", "Crypto"]),
    "WaybillThreads": (1, ["DequeModule"]),
    "WaybillSealing": (1, ["Crypto", "CryptoExtras"]),
    "WaybillObservability": (1, ["Logging", "Metrics"]),
    "WaybillOpening": (2, []),
    "WaybillPostgres": (2, ["Logging", "Metrics", "Subprocess", "SystemPackage"]),
    "SegmentedLog": (2, ["SystemPackage", "Crypto", "Logging", "Metrics"]),
    "WaybillHTTP": (2, ["HummingbirdCore", "HTTPTypes", "NIOCore", "NIOHTTPTypes", "Logging"]),
    "Migrations": (2, []),
    "PostgresTesting": (3, []),
    "DiskSimulation": (4, ["Logging"]), "simulate": (5, []),
    "queuebench": (4, ["Logging"]),
    "ArchiveTesting": (2, []),
    "WaybillQueue": (3, ["Logging", "Metrics"]),
    "WaybillStore": (3, ["Logging", "Metrics", "Crypto"]),
    "WaybillClient": (3, ["AsyncHTTPClient", "NIOCore", "NIOHTTP1", "NIOSSL"]),
    "WaybillUpload": (4, ["SystemPackage", "Crypto", "Logging", "Metrics"]),
    "WaybillIngress": (
        5,
        [
            "Hummingbird", "HummingbirdCore", "HummingbirdTLS", "HTTPTypes", "NIOCore",
            "NIOHTTPTypes", "NIOSSL", "Logging", "Metrics", "Crypto", "ServiceLifecycle",
        ]
    ),
    "WaybillListener": (5, ["ServiceLifecycle", "Logging", "Metrics", "Crypto"]),
    "WaybillLoad": (
        5,
        [
            "Histogram", "Yams", "NIOCore", "NIOPosix", "NIOSSL", "NIOTLS", "DequeModule",
            "Subprocess", "SystemPackage", "Crypto",
        ]
    ),
    "WaybillAdmin": (
        6, ["Hummingbird", "HTTPTypes", "NIOCore", "Logging", "Crypto", "ServiceLifecycle"]
    ),
    "WaybillServer": (
        7,
        [
            "ArgumentParser", "ServiceLifecycle", "UnixSignals", "Logging", "Metrics", "Crypto",
            "SystemPackage",
        ]
    ),
    "WaybillCommands": (7, ["ArgumentParser", "Crypto"]),
    "waybill": (8, ["ArgumentParser"]),
]

private struct Manifest: Decodable {
    struct Target: Decodable {
        let name: String
        let type: String
        let dependencies: [Dependency]
    }

    /// `{"byName": ["X", null]}` or `{"product": ["P", "package", null, null]}`.
    struct Dependency: Decodable {
        let byName: [String?]?
        let product: [String?]?
        let target: [String?]?
    }

    let targets: [Target]
}

@Suite struct LayeringTests {
    private func manifest() throws -> Manifest {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let scratch = FileManager.default.temporaryDirectory.appending(
            path: "waybill-layering-\(UUID().uuidString)")
        defer {
            // What is left in the temporary folder harms nobody.
            try? FileManager.default.removeItem(at: scratch)
        }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        // A scratch path of its own: the running test holds the lock of the usual one.
        process.arguments = [
            "swift", "package", "--package-path", root.path, "--scratch-path", scratch.path,
            "dump-package",
        ]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        return try JSONDecoder().decode(Manifest.self, from: data)
    }

    @Test func everyTargetImportsOnlyWhatTheMapAllows() throws {
        let targets = try manifest().targets.filter { $0.type != "test" }
        #expect(targets.count == moduleMap.count)
        for target in targets {
            let place = try #require(moduleMap[target.name], "\(target.name) is not on the map")
            for dependency in target.dependencies {
                let own = [dependency.byName, dependency.target].compactMap { $0?.first ?? nil }
                for name in own {
                    let other = try #require(moduleMap[name], "\(name) is not on the map")
                    #expect(
                        other.level < place.level,
                        "\(target.name) (\(place.level)) must not import \(name) (\(other.level))")
                }
                if let product = dependency.product?.first ?? nil {
                    #expect(
                        place.thirdParty.contains(product),
                        "\(target.name) must not depend on \(product)")
                }
            }
        }
    }
}
