// swift-tools-version: 6.2

import PackageDescription

let strict: [SwiftSetting] =
    [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ] + (Context.environment["WAYBILL_STRICT"] == "1" ? [.treatAllWarnings(as: .error)] : [])

/// Modules that handle raw memory say so at each use.
let memorySafe: [SwiftSetting] = strict + [.strictMemorySafety()]

/// Calls that a simulation leaves out on purpose, to see that it notices; no product is built so.
let mutants: [SwiftSetting] =
    Context.environment["WAYBILL_MUTANTS"] == "1" ? [.define("MUTANTS")] : []

let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")
let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdTLS = Target.Dependency.product(name: "HummingbirdTLS", package: "hummingbird")
let lifecycle = Target.Dependency.product(
    name: "ServiceLifecycle", package: "swift-service-lifecycle")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioHTTPTypes = Target.Dependency.product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let hummingbirdTesting = Target.Dependency.product(
    name: "HummingbirdTesting", package: "hummingbird")
let unixSignals = Target.Dependency.product(
    name: "UnixSignals", package: "swift-service-lifecycle")
let httpClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let argumentParser = Target.Dependency.product(
    name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "waybill",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "waybill", targets: ["waybill"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // Level 0: headers of system libraries.
        .systemLibrary(
            name: "CLibpq", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(
            name: "CLibcrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(
            name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(
            name: "CLibzip", pkgConfig: "libzip", providers: [.apt(["libzip-dev"])]),
        .systemLibrary(name: "CGlibc"),

        // Level 0: SHA-1 in vectors, optimised in debug builds too: every bundle waits for it.
        .target(name: "CKeyLanes", cSettings: [.unsafeFlags(["-O2"])]),

        // Level 0: network namespaces and TUN devices, for load runs over phone networks.
        .target(name: "CPhoneNetwork"),

        // Level 0: files that are compiled in.
        .target(
            name: "DemoFlights", resources: [.embedInCode("Resources/flights-week.csv.gz")],
            swiftSettings: strict),
        .target(
            name: "OpenAPIDocument", resources: [.embedInCode("Resources/openapi.yaml")],
            swiftSettings: strict),

        // Level 1
        .target(name: "WaybillModel", dependencies: [crypto, httpTypes], swiftSettings: strict),
        .target(name: "WaybillThreads", dependencies: ["CGlibc", deque], swiftSettings: strict),
        .target(
            name: "WaybillSealing", dependencies: ["CZlib", crypto, cryptoExtras],
            swiftSettings: strict),
        .target(
            name: "WaybillObservability", dependencies: [logging, metrics], swiftSettings: strict),

        // Level 2
        .target(
            name: "WaybillOpening",
            dependencies: ["WaybillSealing", "CKeyLanes", "CLibcrypto", "CZlib", "CLibzip"],
            swiftSettings: memorySafe),
        .target(
            name: "WaybillPostgres",
            dependencies: ["WaybillThreads", "CLibpq", logging, metrics, subprocess, system],
            swiftSettings: memorySafe),
        .target(
            name: "SegmentedLog",
            dependencies: ["WaybillThreads", "CLibcrypto", crypto, logging, metrics],
            swiftSettings: memorySafe + mutants),

        .target(
            name: "WaybillHTTP",
            dependencies: [
                "WaybillModel", hummingbirdCore, httpTypes, nioCore, nioHTTPTypes, logging,
            ],
            swiftSettings: strict),

        // Level 3
        .target(
            name: "Migrations", path: "Migrations", exclude: [], sources: ["Migrations.swift"],
            resources: [
                .embedInCode("0001_create_schema.sql"),
                .embedInCode("0002_add_dead_letter_retries.sql"),
                .embedInCode("0003_add_rotation_and_backups.sql"),
                .embedInCode("0004_add_feed_and_trails.sql"),
            ],
            swiftSettings: strict),
        .target(
            name: "WaybillQueue",
            dependencies: ["WaybillModel", "WaybillThreads", "SegmentedLog", logging, metrics],
            swiftSettings: strict + mutants),
        .target(
            name: "WaybillStore",
            dependencies: [
                "WaybillModel", "WaybillPostgres", "Migrations", logging, metrics, crypto,
            ],
            swiftSettings: strict),
        .target(
            name: "WaybillClient",
            dependencies: ["WaybillModel", httpClient, nioCore, nioHTTP1, nioSSL],
            swiftSettings: strict),

        // Level 4
        .target(
            name: "WaybillUpload",
            dependencies: [
                "CGlibc", "WaybillModel", "WaybillThreads", "WaybillSealing", "SegmentedLog",
                "WaybillQueue", system, crypto, logging, metrics,
            ],
            swiftSettings: strict),

        // Level 5
        .target(
            name: "WaybillIngress",
            dependencies: [
                "OpenAPIDocument", "WaybillModel", "WaybillThreads", "WaybillHTTP", "WaybillUpload",
                "WaybillQueue", "WaybillStore",
                hummingbird, hummingbirdCore, hummingbirdTLS, httpTypes, nioHTTPTypes, nioSSL,
                nioCore, logging, metrics, crypto, lifecycle,
            ],
            swiftSettings: strict),
        .target(
            name: "WaybillListener",
            dependencies: [
                "WaybillModel", "WaybillThreads", "WaybillOpening", "WaybillQueue", "WaybillStore",
                "WaybillUpload", lifecycle, logging, metrics, crypto,
            ],
            swiftSettings: strict),

        .target(
            name: "WaybillLoad",
            dependencies: [
                "CPhoneNetwork",
                "WaybillModel", "WaybillThreads", "WaybillSealing", "WaybillOpening",
                "WaybillPostgres", "WaybillClient", histogram, yams, nioCore, nioPosix, nioSSL,
                nioTLS,
                deque, subprocess, system, crypto,
            ],
            swiftSettings: strict),

        // Level 6
        .target(
            name: "WaybillAdmin",
            dependencies: [
                "WaybillModel", "WaybillHTTP", "WaybillQueue", "WaybillStore", "WaybillUpload",
                "WaybillListener", hummingbird, httpTypes, nioCore, logging, crypto, lifecycle,
            ],
            swiftSettings: strict),

        // Level 7
        .target(
            name: "WaybillServer",
            dependencies: [
                "CGlibc", "WaybillModel", "WaybillHTTP", "WaybillThreads", "WaybillObservability",
                "WaybillPostgres",
                "SegmentedLog", "WaybillQueue", "WaybillStore", "WaybillUpload", "WaybillIngress",
                "WaybillListener", "WaybillAdmin", argumentParser, lifecycle,
                unixSignals, logging,
                metrics, crypto, system,
            ],
            swiftSettings: strict),
        .target(
            name: "WaybillCommands",
            dependencies: [
                "CZlib", "DemoFlights", "WaybillModel", "WaybillSealing", "WaybillOpening",
                "WaybillClient", "WaybillLoad",
                argumentParser, crypto,
            ],
            swiftSettings: strict),

        // Level 8
        .executableTarget(
            name: "waybill", dependencies: ["WaybillServer", "WaybillCommands", argumentParser],
            swiftSettings: strict),

        // Tests
        .target(
            name: "PostgresTesting", dependencies: ["WaybillPostgres", "Migrations"],
            path: "Tests/PostgresTesting", swiftSettings: strict),
        .testTarget(name: "LayeringTests", swiftSettings: strict),
        .testTarget(
            name: "WaybillModelTests", dependencies: ["WaybillModel", crypto],
            swiftSettings: strict),
        .testTarget(
            name: "WaybillThreadsTests", dependencies: ["WaybillThreads"], swiftSettings: strict),
        .target(
            name: "ArchiveTesting", dependencies: ["WaybillSealing"],
            path: "Tests/ArchiveTesting", swiftSettings: strict),
        .testTarget(
            name: "WaybillSealingTests", dependencies: ["WaybillSealing", "ArchiveTesting"],
            swiftSettings: strict),
        .testTarget(
            name: "WaybillObservabilityTests",
            dependencies: ["WaybillObservability", logging, metrics], swiftSettings: strict),
        .testTarget(
            name: "WaybillOpeningTests",
            dependencies: ["WaybillOpening", "WaybillSealing", "CLibcrypto", "ArchiveTesting"],
            swiftSettings: strict),
        .testTarget(
            name: "WaybillPostgresTests",
            dependencies: ["WaybillPostgres", "PostgresTesting", "WaybillThreads"],
            swiftSettings: strict),
        .target(
            name: "DiskSimulation",
            dependencies: [
                "SegmentedLog", "WaybillModel", "WaybillQueue", "WaybillThreads", logging,
            ],
            path: "Tests/DiskSimulation", swiftSettings: strict + mutants),
        .executableTarget(
            name: "simulate", dependencies: ["DiskSimulation"], path: "Tests/simulate",
            swiftSettings: strict + mutants),
        .executableTarget(
            name: "queuebench",
            dependencies: [
                "CGlibc", "SegmentedLog", "WaybillQueue", "WaybillModel", "WaybillThreads",
                logging,
            ],
            path: "Tests/queuebench", swiftSettings: strict),
        .testTarget(
            name: "SegmentedLogTests",
            dependencies: [
                "SegmentedLog", "DiskSimulation", "WaybillThreads", crypto, logging,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "WaybillQueueTests",
            dependencies: [
                "WaybillQueue", "DiskSimulation", "WaybillModel", "WaybillThreads", "SegmentedLog",
                logging,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "WaybillStoreTests",
            dependencies: [
                "WaybillStore", "WaybillModel", "WaybillPostgres", "WaybillThreads",
                "PostgresTesting", crypto,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "WaybillUploadTests",
            dependencies: [
                "WaybillUpload", "WaybillModel", "WaybillQueue", "WaybillSealing", "WaybillThreads",
                crypto,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "WaybillHTTPTests",
            dependencies: ["WaybillHTTP", "WaybillModel", httpTypes, nioCore],
            swiftSettings: strict),
        .testTarget(
            name: "WaybillIngressTests",
            dependencies: [
                "WaybillIngress", "WaybillHTTP", "WaybillAdmin", "WaybillListener", "WaybillUpload",
                "WaybillModel", "WaybillQueue", "WaybillThreads",
                "WaybillStore", "WaybillPostgres", "WaybillSealing", hummingbird,
                hummingbirdTesting, httpTypes, nioCore, lifecycle,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "WaybillListenerTests",
            dependencies: [
                "WaybillListener", "WaybillModel", "WaybillPostgres", "WaybillQueue",
                "WaybillSealing", "WaybillStore", "WaybillThreads", "PostgresTesting",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "WaybillLoadTests",
            dependencies: [
                "WaybillLoad", "WaybillModel", "WaybillSealing", "WaybillOpening",
                "WaybillClient", "WaybillPostgres", "WaybillThreads", "PostgresTesting", nioCore,
                nioPosix, nioSSL, crypto,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "WaybillServerTests",
            dependencies: ["WaybillServer", "WaybillIngress", "WaybillModel"],
            swiftSettings: strict),
        .testTarget(
            name: "WaybillCommandsTests",
            dependencies: [
                "WaybillCommands", "WaybillModel", "WaybillSealing", "WaybillClient",
                "WaybillLoad", crypto, argumentParser,
            ],
            swiftSettings: strict),
    ]
)
