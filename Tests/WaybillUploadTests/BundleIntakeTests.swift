import Crypto
import Testing
import WaybillModel
import WaybillQueue
import WaybillSealing

@testable import WaybillUpload

@Suite struct BundleIntakeTests {
    private static let inlineMax = 4096
    private static let partMax = 20_000

    private struct Setup: Sendable {
        let scratch: ScratchDirectory
        let bundles: ScratchDirectory
        let queue = MemoryQueue()
        let history = MemoryHistory()
        let previous: PreviousBundles
        let intake: BundleIntake

        init() throws {
            scratch = try ScratchDirectory()
            bundles = try ScratchDirectory()
            previous = PreviousBundles(source: history)
            var limits = Limits()
            limits.partBytesMax = BundleIntakeTests.partMax
            intake = BundleIntake(
                queue: queue, directory: try PartDirectory(path: scratch.path, keeping: []),
                open: try OpenBundles(
                    path: bundles.path, partsPath: scratch.path, isHandedOver: { _ in false }),
                previous: previous,
                uploads: try Uploads(
                    path: bundles.path + "/uploads", partsPath: scratch.path, owned: []),
                options: UploadOptions(
                    inlineBytesMax: BundleIntakeTests.inlineMax, limits: limits))
        }

        func upload(
            _ bytes: [UInt8], of bundle: IncomingBundle, expecting: [ExpectedDigest] = []
        ) async throws -> BundleIntake.Outcome {
            let receiver = try intake.begin(declaredByteCount: nil, expecting: expecting)
            for start in stride(from: 0, to: bytes.count, by: 1000) {
                try await receiver.append(Array(bytes[start..<min(bytes.count, start + 1000)]))
            }
            return try await intake.complete(receiver, of: bundle)
        }
    }

    @Test(arguments: [inlineMax - 1, inlineMax])
    func keepsSmallPartsInTheMessage(byteCount: Int) async throws {
        let setup = try Setup()
        let bytes = try part(ofByteCount: byteCount)
        let outcome = try await setup.upload(bytes, of: try incoming())
        guard case .received(let standing) = outcome else {
            Issue.record("not received")
            return
        }
        #expect(standing.state == .queued)
        let message = try #require(setup.queue.messages.first)
        #expect(message.parts.first?.location == .inline(bytes))
        #expect(message.bundleDigest == .ofBundle(parts: [.of(bytes)]))
        #expect(try setup.scratch.names().isEmpty)
    }

    @Test(arguments: [inlineMax + 1, partMax - 1, partMax])
    func keepsLargerPartsInOneFile(byteCount: Int) async throws {
        let setup = try Setup()
        let bytes = try part(ofByteCount: byteCount)
        _ = try await setup.upload(bytes, of: try incoming())
        let content = try #require(setup.queue.messages.first?.parts.first)
        guard case .file(let name) = content.location else {
            Issue.record("not a file")
            return
        }
        #expect(content.byteCount == byteCount)
        #expect(content.digest == .of(bytes))
        #expect(try setup.scratch.names() == [name])
        #expect(try readFile(setup.scratch.path + "/" + name) == bytes)
    }

    @Test func refusesOneByteOverTheLimitAndKeepsNothing() async throws {
        let setup = try Setup()
        let bytes = try part(ofByteCount: Self.partMax + 1)
        await #expect(throws: UploadError.self) {
            _ = try await setup.upload(bytes, of: try incoming())
        }
        #expect(throws: UploadError.self) {
            _ = try setup.intake.begin(declaredByteCount: Self.partMax + 1, expecting: [])
        }
        #expect(setup.queue.messages.isEmpty)
        #expect(try setup.scratch.names().isEmpty)
    }

    @Test(arguments: [1000, 10_000])
    func keepsNothingOfARefusedArchive(byteCount: Int) async throws {
        let setup = try Setup()
        let broken = Array(try part(ofByteCount: byteCount).dropLast())
        do {
            _ = try await setup.upload(broken, of: try incoming())
            Issue.record("not refused")
        } catch UploadError.refused(let refusal) {
            #expect(refusal.code == .truncated || refusal.code == .notZip)
        }
        #expect(setup.queue.messages.isEmpty)
        #expect(try setup.scratch.names().isEmpty)
    }

    @Test(arguments: [1000, 10_000])
    func keepsNothingWhenADigestDoesNotMatch(byteCount: Int) async throws {
        let setup = try Setup()
        let bytes = try part(ofByteCount: byteCount)
        let right = ExpectedDigest(
            algorithm: .sha512, bytes: Array(SHA512.hash(data: bytes)))
        let wrong = ExpectedDigest(algorithm: .sha256, bytes: Digest256.of(bytes + [0]).bytes)
        await #expect(throws: UploadError.self) {
            _ = try await setup.upload(bytes, of: try incoming(), expecting: [right, wrong])
        }
        #expect(try setup.scratch.names().isEmpty)
        _ = try await setup.upload(bytes, of: try incoming(), expecting: [right])
        #expect(setup.queue.messages.count == 1)
    }

    @Test(arguments: [1000, 10_000])
    func answersARepetitionWithoutEnqueueingAgain(byteCount: Int) async throws {
        let setup = try Setup()
        let bundle = try incoming()
        let bytes = try part(ofByteCount: byteCount)
        _ = try await setup.upload(bytes, of: bundle)
        let files = try setup.scratch.names()
        guard case .known(let standing) = try await setup.upload(bytes, of: bundle) else {
            Issue.record("taken twice")
            return
        }
        #expect(standing.state == .queued)
        #expect(setup.queue.messages.count == 1)
        #expect(try setup.scratch.names() == files)
        await #expect(throws: UploadError.self) {
            _ = try await setup.upload(try part(ofByteCount: byteCount + 1), of: bundle)
        }
        #expect(try setup.scratch.names() == files)
    }

    @Test func findsBundlesThatWereSettledBefore() async throws {
        let setup = try Setup()
        let bundle = try incoming()
        let bytes = try part(ofByteCount: 1000)
        setup.history.note(
            bundle.key,
            BundleStanding(
                state: .settled, bundleDigest: .ofBundle(parts: [.of(bytes)]),
                partByteCounts: [1000], receipt: #"{"seq":1}"#))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await setup.previous.run() }
            while !setup.previous.isRunning { try await Task.sleep(for: .milliseconds(1)) }
            guard case .known(let standing) = try await setup.upload(bytes, of: bundle) else {
                Issue.record("taken twice")
                return
            }
            #expect(standing.receipt == #"{"seq":1}"#)
            await #expect(throws: UploadError.self) {
                _ = try await setup.upload(try part(ofByteCount: 1001), of: bundle)
            }
            group.cancelAll()
        }
        #expect(setup.queue.messages.isEmpty)
    }

    @Test func newBundlesAreNotAskedFor() async throws {
        let setup = try Setup()
        setup.history.teach(pieces: 1)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await setup.previous.run() }
            let bundle = try incoming()
            while setup.previous.mayHold(bundle.key) { try await Task.sleep(for: .milliseconds(1)) }
            guard
                case .received = try await setup.upload(
                    try part(ofByteCount: 1000), of: bundle)
            else {
                Issue.record("not taken")
                return
            }
            group.cancelAll()
        }
        #expect(setup.history.questions.isEmpty)
    }

    @Test func takesASettledBundleAgainWhileTheDatabaseIsAway() async throws {
        let setup = try Setup()
        setup.history.fail()
        guard
            case .received = try await setup.upload(
                try part(ofByteCount: 1000), of: try incoming())
        else {
            Issue.record("not taken")
            return
        }
    }

    @Test(arguments: [
        (QueueError.diskFull, false), (.closed, false), (.io(errno: 24, operation: "open"), false),
        (.unhealthy, true),
    ])
    func keepsAFileOnlyWhenItsRecordMayBeOnDisk(failure: QueueError, isKept: Bool) async throws {
        let setup = try Setup()
        setup.queue.fail(with: failure)
        await #expect(throws: UploadError.self) {
            _ = try await setup.upload(try part(ofByteCount: 10_000), of: try incoming())
        }
        #expect(try setup.scratch.names().isEmpty != isKept)
    }

    @Test func removesTheFileOfAnAbandonedUpload() async throws {
        let setup = try Setup()
        let receiver = try setup.intake.begin(declaredByteCount: nil, expecting: [])
        try await receiver.append([UInt8](repeating: 1, count: 10_000))
        #expect(try setup.scratch.names().count == 1)
        await receiver.discard()
        #expect(try setup.scratch.names().isEmpty)
    }

    @Test func sweepsFilesThatNoBundleNeeds() throws {
        let scratch = try ScratchDirectory()
        for name in ["live.part", "orphan.part", "other.txt"] {
            try writeFile(scratch.path + "/" + name, [1])
        }
        _ = try PartDirectory(path: scratch.path, keeping: ["live.part"])
        #expect(try scratch.names().sorted() == ["live.part", "other.txt"])
    }
}
