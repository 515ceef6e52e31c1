import Foundation
import Testing
import WaybillModel
import WaybillQueue

@testable import WaybillUpload

/// What a start finds on disk after a crash at any point.
@Suite struct OpenBundleRecoveryTests {
    private let bodies: [[UInt8]]

    init() throws {
        bodies = try [700, 5000].map { try part(ofByteCount: $0) }
    }

    private func openNames(_ setup: DeclaredSetup) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: setup.bundles.path + "/open").sorted()
    }

    private func journal(_ setup: DeclaredSetup, _ id: BundleID) -> String {
        setup.bundles.path + "/open/" + JournalFiles.name(of: setup.key(id))
    }

    @Test func anUnfinishedBundleIsThereAfterARestartWithItsParts() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        try await setup.put(bodies[1], 2, of: id)
        let again = try setup.restarted()
        #expect(again.intake.find(again.key(id)) == setup.intake.find(setup.key(id)))
        #expect(try again.parts.names().count == 1)
        let last = try await again.put(bodies[0], 1, of: id)
        #expect(last.standing.state == .queued)
        #expect(again.queue.messages.first?.parts.count == 2)
        #expect(try openNames(again).isEmpty)
    }

    @Test func aCrashBetweenTheLastPartAndTheQueueIsMendedAtStart() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        try await setup.put(bodies[1], 2, of: id)
        setup.queue.fail(with: .closed)
        _ = try await failure { try await setup.put(bodies[0], 1, of: id) }
        let again = try setup.restarted(queue: MemoryQueue())
        #expect(again.intake.find(again.key(id))?.state == .receiving)
        await again.intake.sweep(at: .now)
        #expect(again.queue.messages.map(\.key) == [again.key(id)])
        #expect(again.intake.find(again.key(id))?.state == .queued)
        await again.intake.sweep(at: .now)
        #expect(again.queue.messages.count == 1)
        #expect(try again.parts.names().count == 2)
    }

    @Test func aCrashBetweenTheQueueAndTheJournalsEndIsCleanedUp() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        let saved = try readFile(journal(setup, id))
        try await setup.put(bodies[0], 1, of: id)
        try await setup.put(bodies[1], 2, of: id)
        try writeFile(journal(setup, id), saved)
        let again = try setup.restarted()
        #expect(again.open.find(again.key(id)) == nil)
        #expect(try openNames(again).isEmpty)
        #expect(try again.parts.names().count == 2)
        #expect(again.intake.find(again.key(id))?.state == .queued)
    }

    @Test func aCompleteBundleThatWasSettledAndForgottenIsCleanedUp() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        setup.queue.fail(with: .closed)
        try await setup.put(bodies[0], 1, of: id)
        _ = try await failure { try await setup.put(bodies[1], 2, of: id) }
        // A listener settled it and removed its files; the journal's end did not reach the disk.
        for name in try setup.parts.names() {
            try FileManager.default.removeItem(atPath: setup.parts.path + "/" + name)
        }
        let again = try setup.restarted(queue: MemoryQueue())
        #expect(again.open.find(again.key(id)) == nil)
        await again.intake.sweep(at: .now)
        #expect(again.queue.messages.isEmpty)
    }

    /// The last part was refused, although its entry had reached the disk: the others are kept.
    @Test func aCompleteBundleOfWhichOneFileIsGoneIsUnfinishedAgain() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        try await setup.put(bodies[0], 1, of: id)
        setup.queue.fail(with: .closed)
        _ = try await failure { try await setup.put(bodies[1], 2, of: id) }
        let last = try #require(setup.open.find(setup.key(id))?.completed(2)?.fileName)
        try FileManager.default.removeItem(atPath: setup.parts.path + "/" + last)
        let again = try setup.restarted(queue: MemoryQueue())
        let standing = try #require(again.intake.find(again.key(id)))
        #expect(standing.state == .receiving)
        #expect(standing.parts.map(\.isComplete) == [true, false])
        #expect(try await again.put(bodies[1], 2, of: id).standing.state == .queued)
    }

    @Test func aPartWhoseFileIsGoneOrShortIsSentAgain() async throws {
        for isShort in [true, false] {
            let setup = try DeclaredSetup()
            let id = BundleID.random()
            try await setup.declare(id, bodies)
            try await setup.put(bodies[0], 1, of: id)
            let file = setup.parts.path + "/" + (try #require(setup.parts.names().first))
            if isShort {
                try writeFile(file, Array(bodies[0].dropLast()))
            } else {
                try FileManager.default.removeItem(atPath: file)
            }
            let again = try setup.restarted()
            let standing = try #require(again.intake.find(again.key(id)))
            #expect(standing.parts.map(\.isComplete) == [false, false])
            #expect(try again.parts.names().isEmpty)
            #expect(try await again.put(bodies[0], 1, of: id).isNew)
            #expect(try again.restarted().intake.find(again.key(id))?.parts[0].isComplete == true)
        }
    }

    @Test func aJournalCutAnywhereIsNeverFatalAndNeverTellsMoreThanIsThere() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        let declared = try readFile(journal(setup, id)).count
        try await setup.put(bodies[0], 1, of: id)
        let whole = try readFile(journal(setup, id))
        let file = setup.parts.path + "/" + (try #require(setup.parts.names().first))
        for count in [0, 1, declared - 1, declared, declared + 1, whole.count - 1, whole.count] {
            try writeFile(journal(setup, id), Array(whole.prefix(count)))
            try writeFile(file, bodies[0])
            let again = try setup.restarted()
            let standing = again.intake.find(again.key(id))
            #expect((standing != nil) == (count >= declared))
            #expect((standing?.parts[0].isComplete == true) == (count == whole.count))
            if count < declared {
                #expect(try openNames(again) == [JournalFiles.name(of: again.key(id)) + ".damaged"])
                #expect(try await again.declare(id, bodies).isNew)
            }
            #expect(try await again.put(bodies[0], 1, of: id).isNew == (count != whole.count))
            let third = try again.restarted()
            #expect(third.intake.find(again.key(id))?.parts[0].isComplete == true)
        }
    }

    @Test func whatIsNoJournalIsLeftAloneAndHalfWrittenOnesAreRemoved() async throws {
        let setup = try DeclaredSetup()
        for name in ["notes.txt", "x.new"] {
            try writeFile(setup.bundles.path + "/open/" + name, [1])
        }
        let again = try setup.restarted()
        #expect(again.open.list(of: again.device).isEmpty)
        #expect(try openNames(again) == ["notes.txt"])
    }

    @Test func aDeclarationThatCannotBeWrittenIsNotThere() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try FileManager.default.removeItem(atPath: setup.bundles.path + "/open")
        #expect(try await failure { try await setup.declare(id, bodies) } == "io")
        #expect(setup.intake.find(setup.key(id)) == nil)
        #expect(setup.intake.unfinished(of: setup.device).isEmpty)
    }

    @Test func aPartThatCannotBeNotedIsNotKeptAndMayBeSentAgain() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        let folder = setup.bundles.path + "/open"
        try FileManager.default.moveItem(atPath: folder, toPath: folder + "-away")
        #expect(try await failure { try await setup.put(bodies[0], 1, of: id) } == "io")
        #expect(try setup.parts.names().isEmpty)
        #expect(setup.open.find(setup.key(id))?.isJournalSound == false)
        try FileManager.default.moveItem(atPath: folder + "-away", toPath: folder)
        #expect(try await setup.put(bodies[0], 1, of: id).isNew)
        #expect(try setup.restarted().intake.find(setup.key(id))?.parts[0].isComplete == true)
    }

    // MARK: Age

    @Test func bundlesExpireAfterTheirDaysWithoutProgressAndNotBefore() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        try await setup.put(bodies[0], 1, of: id)
        let progress = try #require(setup.open.find(setup.key(id))).progressedAt
        let age = Duration.seconds(30 * 86400)
        await setup.intake.sweep(at: progress.advanced(by: age - .microseconds(1)))
        #expect(setup.intake.find(setup.key(id))?.state == .receiving)
        await setup.intake.sweep(at: progress.advanced(by: age))
        #expect(setup.intake.find(setup.key(id)) == nil)
        #expect(await setup.intake.expired(setup.key(id))?.state == .expired)
        #expect(try setup.parts.names().isEmpty)
        let again = try setup.restarted()
        #expect(again.intake.find(again.key(id)) == nil)
        #expect(await again.intake.expired(again.key(id))?.state == .expired)
        #expect(again.intake.unfinished(of: again.device).isEmpty)
    }

    @Test func aCompleteBundleDoesNotExpire() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, [bodies[0]])
        setup.queue.fail(with: .diskFull)
        _ = try await failure { try await setup.put(bodies[0], 1, of: id) }
        await setup.intake.sweep(at: Timestamp.now.advanced(by: .seconds(365 * 86400)))
        #expect(setup.open.find(setup.key(id))?.isComplete == true)
    }

    @Test func doneBundlesAreForgottenInTheEnd() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, [bodies[0]])
        try await setup.put(bodies[0], 1, of: id)
        #expect(await setup.open.done(setup.key(id)) != nil)
        await setup.intake.sweep(at: Timestamp.now.advanced(by: .seconds(8 * 86400)))
        #expect(await setup.open.done(setup.key(id)) == nil)
    }
}
