import Foundation
import Testing
import WaybillThreads

@testable import SegmentedLog

@Suite struct FaultTests {
    let fixture: LogFixture
    let fileSystem = FaultyFileSystem()

    init() throws {
        fixture = try LogFixture()
    }

    @Test func aFailedSyncIsStickyAndTellsEverybody() async throws {
        let fatal = Monitor<[LogError]>([])
        let opened = try fixture.open(fixture.options(), fileSystem: fileSystem) { error in
            fatal.update { $0.append(error) }
        }
        _ = try await opened.log.append(type: 1, payload: [1])
        fileSystem.setRule { operation, _ in operation == .sync ? 5 : nil }
        let failure = LogError.failed(errno: 5, operation: "fdatasync")
        await #expect(throws: failure) { try await opened.log.append(type: 1, payload: [2]) }
        fileSystem.setRule { _, _ in nil }
        await #expect(throws: failure) { try await opened.log.append(type: 1, payload: [3]) }
        #expect(!opened.log.isHealthy)
        #expect(fatal.wait(timeout: .seconds(10)) { $0.isEmpty ? nil : $0 } == [failure])
        opened.log.close()
        let reopened = try fixture.open(fixture.options())
        reopened.log.close()
        #expect(reopened.payloads.first == [1])
        #expect(reopened.report.faults.isEmpty)
    }

    @Test func aFailedWriteIsFatalToo() async throws {
        let opened = try fixture.open(fixture.options(), fileSystem: fileSystem)
        fileSystem.setRule { operation, _ in operation == .write ? EIO : nil }
        await #expect(throws: LogError.failed(errno: EIO, operation: "write")) {
            try await opened.log.append(type: 1, payload: [1])
        }
        opened.log.close()
        let reopened = try fixture.open(fixture.options())
        reopened.log.close()
        #expect(reopened.payloads.isEmpty)
        #expect(reopened.report.tornBytes > 0)
    }

    @Test func aFullDiskRefusesBulkAndKeepsControlUntilThereIsRoom() async throws {
        let opened = try fixture.open(fixture.options(), fileSystem: fileSystem)
        _ = try await opened.log.append(type: 1, payload: [1])
        fileSystem.setRule { operation, _ in operation == .write ? ENOSPC : nil }
        let settled = Monitor(false)
        opened.log.append(type: 2, payload: [9], recordClass: .control) { result in
            if case .success = result { settled.update { $0 = true } }
        }
        await #expect(throws: LogError.diskFull) {
            try await opened.log.append(type: 1, payload: [2])
        }
        #expect(opened.log.isHealthy)
        #expect(!settled.withLock { $0 })
        fileSystem.setRule { _, _ in nil }
        _ = try await opened.log.append(type: 1, payload: [3])
        #expect(settled.withLock { $0 })
        try fixture.crash("log", as: "copy")
        opened.log.close()
        let reopened = try fixture.open(fixture.options("copy"))
        reopened.log.close()
        #expect(reopened.payloads == [[1], [9], [3]])
        #expect(reopened.report.faults.isEmpty)
    }

    @Test func controlUsesTheReserveWhenNoSegmentCanBeMade() async throws {
        let opened = try fixture.open(fixture.options(), fileSystem: fileSystem)
        fileSystem.setRule { operation, _ in operation == .allocate ? ENOSPC : nil }
        let large = [UInt8](repeating: 1, count: 9000)
        _ = try await opened.log.append(type: 1, payload: large)
        await #expect(throws: LogError.diskFull) {
            try await opened.log.append(type: 1, payload: large)
        }
        _ = try await opened.log.append(type: 2, payload: [2], recordClass: .control)
        fileSystem.setRule { _, _ in nil }
        _ = try await opened.log.append(type: 1, payload: large)
        #expect(opened.log.closedSegments == [1])
        opened.log.close()
        let reopened = try fixture.open(fixture.options())
        reopened.log.close()
        #expect(reopened.payloads == [large, [2], large])
    }

    @Test func runningOutOfDescriptorsIsNoLoss() async throws {
        let opened = try fixture.open(fixture.options(), fileSystem: fileSystem)
        let large = [UInt8](repeating: 1, count: 9000)
        fileSystem.setRule { operation, _ in operation == .open ? EMFILE : nil }
        _ = try await opened.log.append(type: 1, payload: large)
        await #expect(throws: LogError.io(errno: EMFILE, operation: "open")) {
            try await opened.log.append(type: 1, payload: large)
        }
        fileSystem.setRule { _, _ in nil }
        _ = try await opened.log.append(type: 1, payload: [3])
        opened.log.close()
        let reopened = try fixture.open(fixture.options())
        reopened.log.close()
        #expect(reopened.payloads == [large, [3]])
    }

    /// Syncing a directory must not fail for want of a descriptor: it is opened once.
    @Test func opensADirectoryThatIsSyncedOnceAlone() throws {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "waybill-sync-\(UUID().uuidString)"
        ).path
        let files = PosixFileSystem()
        try files.makeDirectory(folder)
        try files.syncDirectory(folder)
        try files.rename(folder, to: folder + ".moved")
        defer { rmdir(folder + ".moved") }
        try files.syncDirectory(folder)
        #expect(throws: LogError.io(errno: ENOENT, operation: "open directory")) {
            try PosixFileSystem().syncDirectory(folder)
        }
    }

    @Test func goesOnAfterShortWrites() async throws {
        fileSystem.setWriteBytesMax(7)
        let opened = try fixture.open(fixture.options(), fileSystem: fileSystem)
        _ = try await fixture.append([[1, 2, 3], [4]], to: opened.log)
        opened.log.close()
        let reopened = try fixture.open(fixture.options())
        reopened.log.close()
        #expect(reopened.payloads == [[1, 2, 3], [4]])
    }

    @Test func oneSyncServesAllThatArrivedMeanwhileAndNobodyIsToldBefore() throws {
        var options = fixture.options()
        options.segmentBytes = 64 << 10
        let opened = try fixture.open(options, fileSystem: fileSystem)
        let gate = Monitor(false)
        fileSystem.setRule { operation, _ in
            if operation == .sync { _ = gate.wait { $0 ? true : nil } }
            return nil
        }
        let before = fileSystem.count(.sync)
        let done = Monitor(0)
        for index in 0..<256 {
            opened.log.append(type: 1, payload: [UInt8(index)]) { _ in done.update { $0 += 1 } }
        }
        #expect(done.withLock { $0 } == 0)
        gate.update { $0 = true }
        #expect(done.wait(timeout: .seconds(20)) { $0 == 256 ? true : nil } == true)
        #expect(fileSystem.count(.sync) - before <= 2)
        opened.log.close()
        let reopened = try fixture.open(fixture.options())
        reopened.log.close()
        #expect(reopened.payloads == (0..<256).map { [UInt8($0)] })
    }

    @Test func acknowledges256ConcurrentSendersAndRecoversAll() async throws {
        let opened = try fixture.open(fixture.options())
        let log = opened.log
        let sequences = try await withThrowingTaskGroup(of: UInt64.self) { group in
            for sender in 0..<256 {
                group.addTask {
                    let payload = [UInt8](repeating: UInt8(sender), count: 300)
                    return try await log.append(type: 1, payload: payload).sequence
                }
            }
            return try await group.reduce(into: Set<UInt64>()) { $0.insert($1) }
        }
        #expect(sequences.count == 256)
        try fixture.crash("log", as: "copy")
        log.close()
        let reopened = try fixture.open(fixture.options("copy"))
        reopened.log.close()
        #expect(Set(reopened.records.map(\.sequence)) == sequences)
        #expect(Set(reopened.payloads).count == 256)
    }

    @Test func refusesWhatIsTooLargeOrTooMuchOrTooLate() async throws {
        var options = fixture.options()
        options.recordBytesMax = 100
        options.pendingBytesMax = 150
        let opened = try fixture.open(options, fileSystem: fileSystem)
        await #expect(throws: LogError.tooLarge(byteCount: 101)) {
            try await opened.log.append(type: 1, payload: [UInt8](repeating: 0, count: 101))
        }
        _ = try await opened.log.append(type: 1, payload: [UInt8](repeating: 0, count: 100))
        opened.log.close()
        await #expect(throws: LogError.closed) {
            try await opened.log.append(type: 1, payload: [1])
        }
    }
}
