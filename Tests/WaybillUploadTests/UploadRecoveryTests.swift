import Foundation
import Testing
import WaybillModel
import WaybillQueue

@testable import WaybillUpload

/// What a start, or a sweep, makes of uploads that were under way.
@Suite struct UploadRecoveryTests {
    private let setup: DeclaredSetup
    private let body: [UInt8]
    private let id = BundleID.random()

    init() throws {
        setup = try DeclaredSetup()
        body = try part(ofByteCount: 9000)
    }

    private func path(_ upload: UploadID) -> String {
        setup.parts.path + "/" + UploadFile.fileName(of: upload)
    }

    private func record(_ upload: UploadID) -> String {
        setup.bundles.path + "/uploads/" + UploadFile.recordName(of: upload)
    }

    /// An upload whose bytes are all here, and that something kept from its bundle.
    private func received() async throws -> (id: UploadID, file: UploadFile, mark: UploadMark) {
        let upload = try await setup.begin(id)
        try await setup.append(body, to: upload, at: 0)
        let (file, _) = try #require(setup.intake.uploads.entry(upload))
        let (fence, _) = try await file.begin()
        return (upload, file, try await file.end(fence, expecting: [], .received))
    }

    @Test func aRestartKeepsWhatWasTold() async throws {
        let upload = try await setup.begin(id, byteCount: body.count)
        try await setup.append(body[..<2500], to: upload, at: 0)
        let again = try setup.restarted()
        #expect(try await again.offset(of: upload) == 2500)
        #expect(again.intake.find(again.key(id))?.parts.first?.receivedByteCount == 2500)
        #expect(again.intake.find(again.key(id))?.parts.first?.byteCount == 9000)
        let end = try await again.append(body[2500...], to: upload, at: 2500, isLast: true)
        #expect(end.state == .queued)
        #expect(again.queue.messages.first?.bundleDigest == .ofBundle(parts: [.of(body)]))
    }

    @Test func bytesThatNobodyWasToldOfAreCutOff() async throws {
        let upload = try await setup.begin(id)
        try await setup.append(body[..<2500], to: upload, at: 0)
        let file = try #require(FileHandle(forWritingAtPath: path(upload)))
        try file.seekToEnd()
        try file.write(contentsOf: Data(repeating: 0, count: 777))
        try file.close()
        let again = try setup.restarted()
        #expect(try await again.offset(of: upload) == 2500)
        let end = try await again.append(body[2500...], to: upload, at: 2500, isLast: true)
        #expect(end.state == .queued)
    }

    @Test func bytesThatCameBeforeTheFirstMarkAreCutOff() async throws {
        let upload = try await setup.begin(id)
        try writeFile(path(upload), Array(repeating: 7, count: 20_000))
        let again = try setup.restarted()
        #expect(try await again.offset(of: upload) == 0)
        let end = try await again.append(body, to: upload, at: 0, isLast: true)
        #expect(end.state == .queued)
        #expect(try readFile(path(upload)) == body)
    }

    @Test func bytesThatBelieTheMarkEndTheUpload() async throws {
        let upload = try await setup.begin(id)
        try await setup.append(body[..<2500], to: upload, at: 0)
        try await setup.append(body[2500..<2600], to: upload, at: 2500)
        let file = try #require(FileHandle(forWritingAtPath: path(upload)))
        try file.seek(toOffset: 100)
        try file.write(contentsOf: Data([body[100] ^ 1]))
        try file.close()
        let again = try setup.restarted()
        #expect(try await failure { _ = try await again.offset(of: upload) } == "upload_gone")
        let next = try await again.begin(id)
        #expect(try await again.append(body, to: next, at: 0, isLast: true).state == .queued)
    }

    @Test func aTornMarkCountsForNothing() async throws {
        let upload = try await setup.begin(id)
        try await setup.append(body[..<2500], to: upload, at: 0)
        try await setup.append(body[2500..<4000], to: upload, at: 2500)
        var torn = try readFile(record(upload))
        let marks = try #require(UploadRecord.read(torn, of: upload)).marks
        #expect(marks[0].offset == 4000)
        torn[UploadRecord.offset(of: marks[0]) + 20] ^= 0xff
        try writeFile(record(upload), torn)
        let again = try setup.restarted()
        // On a slow machine there is one in the middle of the append.
        let told = marks[1].offset
        #expect((2500..<4000).contains(told))
        #expect(try await again.offset(of: upload) == told)
        let end = try await again.append(body[told...], to: upload, at: told, isLast: true)
        #expect(end.state == .queued)
        #expect(again.queue.messages.first?.bundleDigest == .ofBundle(parts: [.of(body)]))
    }

    @Test func aDamagedRecordIsSetAside() async throws {
        let upload = try await setup.begin(id)
        try writeFile(record(upload), [1, 2, 3])
        let again = try setup.restarted()
        #expect(try await failure { _ = try await again.offset(of: upload) } == "upload_unknown")
        let next = try await again.begin(id)
        #expect(try await again.append(body, to: next, at: 0, isLast: true).state == .queued)
    }

    @Test func aCrashBetweenTheLastByteAndTheBundleIsMendedAtStart() async throws {
        _ = try await received()
        let again = try setup.restarted()
        await again.intake.sweep(at: .now)
        #expect(again.intake.find(again.key(id))?.state == .queued)
        #expect(again.queue.messages.map(\.bundleDigest) == [.ofBundle(parts: [.of(body)])])
        #expect(try again.parts.names().count == 1)
    }

    @Test func aCrashAfterTheQueueHadItLosesNoFile() async throws {
        let (upload, _, _) = try await received()
        let saved = try readFile(record(upload))
        _ = try await setup.intake.upload(upload, of: setup.device)
        #expect(setup.queue.messages.count == 1)
        try writeFile(record(upload), saved)
        let again = try setup.restarted()
        #expect(try await again.intake.upload(upload, of: again.device).isComplete)
        await again.intake.sweep(at: .now)
        #expect(try again.parts.names() == [UploadFile.fileName(of: upload)])
        #expect(again.queue.messages.count == 1)
        // It is not an unfinished upload without bytes once the bundle is settled.
        let marks = try #require(UploadRecord.read(try readFile(record(upload)), of: upload)).marks
        #expect(marks.first?.phase == .complete)
    }

    /// Whether the sweep or the device comes first.
    @Test(arguments: [false, true])
    func aCrashAfterTheBundleHadItsLastPartLosesNoFile(isDeviceFirst: Bool) async throws {
        let (upload, _, _) = try await received()
        let saved = try readFile(record(upload))
        setup.queue.fail(with: .diskFull)
        _ = try await setup.intake.upload(upload, of: setup.device)
        #expect(setup.intake.find(setup.key(id))?.parts.first?.isComplete == true)
        setup.queue.fail(with: nil)
        try writeFile(record(upload), saved)
        let again = try setup.restarted()
        if isDeviceFirst {
            #expect(try await again.intake.upload(upload, of: again.device).isComplete)
        }
        await again.intake.sweep(at: .now)
        #expect(try await again.intake.upload(upload, of: again.device).isComplete)
        #expect(again.queue.messages.map(\.bundleDigest) == [.ofBundle(parts: [.of(body)])])
        #expect(try again.parts.names() == [UploadFile.fileName(of: upload)])
    }

    /// A record that tells less than the bundle knows takes nothing from the queue.
    @Test func aPartThatComesOnceMoreIsNotRemovedUnderItsOwnBundle() async throws {
        let (upload, file, mark) = try await received()
        for _ in 0..<2 { _ = try await setup.intake.finish(file, mark, expecting: []) }
        #expect(setup.queue.messages.count == 1)
        #expect(try setup.parts.names() == [UploadFile.fileName(of: upload)])
    }

    @Test func aQueueThatRefusesKeepsThePartForTheNextSweep() async throws {
        let upload = try await setup.begin(id)
        setup.queue.fail(with: .diskFull)
        #expect(
            try await failure {
                try await setup.append(body, to: upload, at: 0, isLast: true)
            } == "queue_disk_full")
        setup.queue.fail(with: nil)
        await setup.intake.sweep(at: .now)
        #expect(setup.intake.find(setup.key(id))?.state == .queued)
        #expect(try await setup.intake.upload(upload, of: setup.device).isComplete)
    }

    @Test func anUploadWithoutProgressExpiresWithItsBundle() async throws {
        let upload = try await setup.begin(id)
        try await setup.append(body[..<10], to: upload, at: 0)
        let piece = try await setup.intake.beginUpload(setup.plan(nil), byteCount: 3).id
        try await setup.append([1, 2, 3], to: piece, at: 0, isLast: nil)
        let age = setup.intake.options.openBundleAge
        await setup.intake.sweep(at: Timestamp.now.advanced(by: age - .seconds(60)))
        #expect(try await setup.offset(of: upload) == 10)
        let late = Timestamp.now.advanced(by: age + .seconds(60))
        await setup.intake.sweep(at: late)
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_gone")
        #expect(setup.intake.find(setup.key(id)) == nil)
        #expect(try setup.parts.names().isEmpty)
        await setup.intake.sweep(at: late.advanced(by: .seconds(90_000)))
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_unknown")
        #expect(try setup.uploadRecords().isEmpty)
    }

    @Test func progressKeepsABundleFromExpiring() async throws {
        let age = setup.intake.options.openBundleAge
        let long = Timestamp.now.advanced(by: .zero - age - .seconds(60))
        let upload = try await setup.intake.beginUpload(
            setup.plan(id, at: long), byteCount: nil
        ).id
        try await setup.append(body[..<10], to: upload, at: 0)
        await setup.intake.sweep(at: .now)
        #expect(setup.intake.find(setup.key(id))?.state == .receiving)
        #expect(try await setup.offset(of: upload) == 10)
    }

    @Test func aCompleteUploadAnswersForADayAfterItsBundleIsSettled() async throws {
        let upload = try await setup.begin(id)
        try await setup.append(body, to: upload, at: 0, isLast: true)
        let later = Timestamp.now.advanced(by: .seconds(10 * 86400))
        await setup.intake.sweep(at: later)
        setup.note(.settled, id, [body])
        await setup.intake.sweep(at: later.advanced(by: .seconds(86_000)))
        #expect(try await setup.intake.upload(upload, of: setup.device).isComplete)
        await setup.intake.sweep(at: later.advanced(by: .seconds(87_000)))
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_unknown")
    }
}
