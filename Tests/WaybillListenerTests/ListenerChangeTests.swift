import Foundation
import Synchronization
import Testing
import WaybillModel
import WaybillQueue
import WaybillStore
import WaybillThreads

@testable import WaybillListener

@Suite struct ListenerChangeTests {
    private struct DiskGone: Error {}

    /// A pool that does not run, and what it was told to keep.
    private final class Desk: Sendable {
        let kept = Mutex<[ListenerSetting]>([])
        let isDiskGone = Mutex(false)

        var settings: [ListenerSetting] { kept.withLock { $0 } }
    }

    private func withPool(
        automatic: ClosedRange<Int>? = nil, _ body: (ListenerPool, Desk) throws -> Void
    ) throws {
        let folder = NSTemporaryDirectory() + "waybill-change-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        // What stays in the temporary folder harms nobody.
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let queue = try DiskQueue.open(
            options: DiskQueueOptions(
                directory: folder, masterKey: [UInt8](repeating: 7, count: 32)),
            onFatal: { _ in })
        defer { queue.close() }
        let rootKey = RootKey(bytes: [UInt8](repeating: 9, count: 32))
        var options = ListenerOptions()
        options.automatic = automatic
        options.max = 100
        let desk = Desk()
        let pool = ListenerPool(
            context: ListenerContext(
                options: options, queue: queue, rootKey: rootKey, partsDirectory: folder,
                reaper: try PartReaper(),
                deadLetters: DeadLetterFiles(directory: folder, rootKey: rootKey),
                makeSettler: { nil }),
            keep: { setting in
                if desk.isDiskGone.withLock({ $0 }) { throw DiskGone() }
                desk.kept.withLock { $0.append(setting) }
            })
        try body(pool, desk)
    }

    @Test func keepsWhatAnOperatorWants() throws {
        try withPool { pool, desk in
            _ = try pool.change(.fixed(7)) { _ in true }
            _ = try pool.change(.automatic(min: 2, max: 5)) { _ in true }
            try expect(pool, autoscale: true)
            _ = try pool.change(.keep) { status in status.autoscale }
            try expect(pool, autoscale: false)
            let wanted = [
                ListenerSetting(target: 7),
                ListenerSetting(target: 5, automatic: .init(min: 2, max: 5)),
                ListenerSetting(target: 5),
            ]
            let kept = desk.settings
            #expect(kept == wanted)
        }
    }

    private func expect(_ pool: ListenerPool, autoscale: Bool) throws {
        let status = pool.status
        #expect(status.autoscale == autoscale)
        #expect(status.target == 5)
    }

    @Test(arguments: [(3, 2), (-1, 2), (0, 101), (0, 0), (Int.min, Int.max)])
    func namesBoundsThatAreNone(min: Int, max: Int) throws {
        try withPool { pool, desk in
            let error = try #require(
                #expect(throws: ListenerError.self) {
                    _ = try pool.change(.automatic(min: min, max: max)) { _ in true }
                })
            #expect("\(error)".contains("min \(min) and max \(max)"))
            #expect(desk.settings.isEmpty)
            #expect(!pool.status.autoscale)
        }
    }

    @Test func changesNothingThatIsNotAsExpectedOrCannotBeKept() throws {
        try withPool(automatic: 1...9) { pool, desk in
            let before = pool.status
            #expect(before.autoscale)
            #expect(throws: ListenerError.self) {
                _ = try pool.change(.fixed(3)) { _ in false }
            }
            desk.isDiskGone.withLock { $0 = true }
            #expect(throws: ListenerError.self) {
                _ = try pool.change(.fixed(3)) { _ in true }
            }
            #expect(pool.status == before)
        }
    }

    @Test func scalesOnlyWhileItIsLeftToIt() throws {
        try withPool { pool, _ in
            _ = try pool.change(.fixed(0)) { _ in true }
            pool.autoscale(waiting: 10, oldestAge: .seconds(100))
            #expect(pool.status.target == 0)
            _ = try pool.change(.automatic(min: 0, max: 5)) { _ in true }
            #expect(pool.status.target == 0)
            pool.autoscale(waiting: 10, oldestAge: .zero)
            #expect(pool.status.target == 1)
        }
    }

    @Test func tellsOfListenersThatThereCanBe() throws {
        try withPool { pool, _ in
            #expect(pool.listener(99)?.state == .stopped)
            #expect(pool.listener(100) == nil)
            #expect(pool.listener(-1) == nil)
        }
    }
}
