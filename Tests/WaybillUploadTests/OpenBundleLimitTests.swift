import Testing
import WaybillModel
import WaybillSealing
import WaybillUpload

/// The limits of declared bundles, each at n-1, n and n+1.
@Suite struct OpenBundleLimitTests {
    private func setup(_ change: (inout Limits) -> Void) throws -> DeclaredSetup {
        var options = UploadOptions()
        change(&options.limits)
        return try DeclaredSetup(options)
    }

    /// Declared only: sizes without bytes behind them.
    private func declaration(_ setup: DeclaredSetup, sizes: [Int]) throws -> BundleDeclaration {
        var declaration = try setup.declaration(.random(), sizes.map { _ in [0] })
        for (index, size) in sizes.enumerated() { declaration.parts[index].byteCount = size }
        return declaration
    }

    private func code(_ setup: DeclaredSetup, sizes: [Int]) async throws -> String? {
        let declaration = try declaration(setup, sizes: sizes)
        return try await failure { _ = try await setup.intake.declare(declaration) }
    }

    @Test(arguments: [(999, nil), (1000, nil), (1001, "too_large")])
    func partBytes(size: Int, wanted: String?) async throws {
        let setup = try setup { $0.partBytesMax = 1000 }
        #expect(try await code(setup, sizes: [1, size]) == wanted)
    }

    @Test(arguments: [(999, nil), (1000, nil), (1001, "bundle_too_large")])
    func bundleBytes(total: Int, wanted: String?) async throws {
        let setup = try setup { $0.bundleBytesMax = 1000 }
        #expect(try await code(setup, sizes: [400, total - 400]) == wanted)
    }

    @Test func bundleBytesThatOverflowAreTooLarge() async throws {
        let setup = try setup { $0.partBytesMax = .max }
        #expect(try await code(setup, sizes: [.max, .max]) == "bundle_too_large")
    }

    @Test(arguments: [(999, nil), (1000, nil), (1001, "too_many_parts")])
    func parts(count: Int, wanted: String?) async throws {
        let setup = try setup { _ in }
        #expect(
            try await code(setup, sizes: Array(repeating: 1, count: count)) == wanted)
    }

    @Test func unfinishedBundles() async throws {
        let setup = try setup { _ in }
        for _ in 0..<8 { #expect(try await code(setup, sizes: [1]) == nil) }
        #expect(try await code(setup, sizes: [1]) == "too_many_open")
        let first = try #require(setup.intake.unfinished(of: setup.device).first)
        // The same declaration again is no further one.
        let opened = try #require(setup.open.find(setup.key(first.id)))
        #expect(
            try await failure { _ = try await setup.intake.declare(opened.declaration) } == nil)
        _ = try await setup.intake.giveUp(setup.key(first.id))
        #expect(try await code(setup, sizes: [1]) == nil)
        #expect(try await code(setup, sizes: [1]) == "too_many_open")
    }

    @Test func unfinishedBundlesOfOtherDevicesDoNotCount() async throws {
        let setup = try setup { $0.openBundlesMax = 1 }
        for _ in 0..<3 {
            var declaration = try setup.declaration(.random(), [[1]])
            declaration.deviceID = .random()
            _ = try await setup.intake.declare(declaration)
        }
        #expect(try await code(setup, sizes: [1]) == nil)
    }

    @Test func bundlesOfOnePartInOneRequestDoNotCount() async throws {
        let setup = try setup { $0.openBundlesMax = 1 }
        #expect(try await code(setup, sizes: [1]) == nil)
        #expect(try await setup.post(try part(ofByteCount: 700), .random()).isNew)
    }

    @Test(arguments: [(999, nil), (1000, nil), (1001, "too_many_open")])
    func unfinishedBytes(total: Int, wanted: String?) async throws {
        let setup = try setup { $0.openBytesMax = 1000 }
        #expect(try await code(setup, sizes: [300, 300]) == nil)
        #expect(try await code(setup, sizes: [total - 600]) == wanted)
    }

    @Test func completePartsOfUnfinishedBundlesCount() async throws {
        let body = try part(ofByteCount: 700)
        let setup = try setup { $0.openBytesMax = 1000 }
        let id = BundleID.random()
        try await setup.declare(id, [body, [1]])
        try await setup.put(body, 1, of: id)
        #expect(try await code(setup, sizes: [300]) == "too_many_open")
        #expect(try await code(setup, sizes: [299]) == nil)
        _ = try await setup.intake.giveUp(setup.key(id))
        #expect(try await code(setup, sizes: [701]) == nil)
    }

    @Test(arguments: [(-1, nil), (0, nil), (1, "archive_limit")])
    func declaredSizesOfABundlesParts(surplus: Int, wanted: String?) async throws {
        let first = try part(ofByteCount: 2000)
        let second = try part(ofByteCount: 1000)
        let total = try unzippedByteCount(of: first) + unzippedByteCount(of: second)
        let setup = try setup { $0.bundleUnzippedBytesMax = total - surplus }
        let id = BundleID.random()
        try await setup.declare(id, [first, second])
        try await setup.put(first, 1, of: id)
        #expect(try await failure { try await setup.put(second, 2, of: id) } == wanted)
        #expect(try setup.parts.names().count == (wanted == nil ? 2 : 1))
    }

    private func unzippedByteCount(of part: [UInt8]) throws -> Int {
        try ArchiveStructure.check(
            MemorySource(part[...]),
            limits: ArchiveLimits(partUnzippedBytesMax: 1 << 20, ratioMax: 200)
        ).declaredByteCount
    }
}
