import Foundation
import Synchronization
import Testing
import WaybillModel
import WaybillStore

@testable import WaybillListener

/// Letters in memory with files in a folder of the test's own.
private final class MemoryLedger: DeadLetterLedger {
    let path = NSTemporaryDirectory() + "waybill-letters-\(UUID().uuidString)"
    let device = DeviceID.random()
    private let letters = Mutex<[StoredDeadLetter]>([])
    private let kinds = Mutex<[String]>([])

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        // What stays in the temporary folder harms nobody.
        try? FileManager.default.removeItem(atPath: path)
    }

    var open: [String] { letters.withLock { $0.filter { $0.resolution == nil }.map(\.fileName) } }
    var expired: [String] { kinds.withLock { $0 } }
    var files: Set<String> {
        get throws { Set(try FileManager.default.contentsOfDirectory(atPath: path)) }
    }

    /// A letter of two parts, 100 bytes each.
    @discardableResult
    func add(at time: Timestamp, isRetrying: Bool = false, resolution: String? = nil) throws
        -> String
    {
        let slug = try #require(TenantSlug("acme"))
        let name = "\(device)-\(BundleID.random())-0123456789abcdef"
        let letter = StoredDeadLetter(
            id: .random(), tenant: TenantID(1), tenantSlug: slug, deviceID: device,
            bundleID: .random(), bundleDigest: .zero, epoch: nil, deviceName: "tablet",
            receiptSeq: 1, code: "cannot_open", detail: "", node: "node", fileName: name,
            byteCount: 200, partByteCounts: [100, 100], createdAt: time, isRetrying: isRetrying,
            resolution: resolution)
        letters.withLock { $0.append(letter) }
        try write("\(name).1", at: time)
        try write("\(name).2", at: time)
        return name
    }

    func write(_ name: String, at time: Timestamp) throws {
        let url = URL(filePath: path + "/" + name)
        try Data(count: 100).write(to: url)
        try FileManager.default.setAttributes(
            [
                .modificationDate: Date(
                    timeIntervalSince1970: Double(time.microseconds) / 1_000_000)
            ], ofItemAtPath: url.path)
    }

    func deadLetters(_ query: DeadLetterQuery) async throws(StoreError) -> [StoredDeadLetter] {
        letters.withLock { letters in
            let found = letters.filter { letter in
                letter.resolution == nil
                    && query.filter.before.map { letter.createdAt < $0 } ?? true
                    && query.after.map { letter.createdAt > $0.createdAt } ?? true
            }
            return Array(found.sorted { $0.createdAt < $1.createdAt }.prefix(query.limit))
        }
    }

    func deadLetterTotals(
        _ filter: DeadLetterFilter, state: DeadLetterState
    ) async throws(StoreError) -> DeadLetterTotals {
        DeadLetterTotals(count: open.count, bytes: open.count * 200)
    }

    func discard(
        _ letters: [StoredDeadLetter], kind: String, by actor: DeadLetterActor
    ) async throws(StoreError) -> Set<DeadLetterID> {
        let wanted = Set(letters.map(\.id))
        return self.letters.withLock { letters in
            let taken = letters.filter {
                wanted.contains($0.id) && $0.resolution == nil && !$0.isRetrying
            }
            letters.removeAll { letter in taken.contains(letter) }
            kinds.withLock { $0 += taken.map { _ in "\(kind) \(actor.reason ?? "")" } }
            return Set(taken.map(\.id))
        }
    }

    func orphans(
        among files: [(name: String, device: DeviceID)]
    ) async throws(StoreError) -> [String] {
        let open = Set(open)
        return files.filter { $0.device == device && !open.contains($0.name) }.map(\.name)
    }
}

@Suite struct DeadLetterRetentionTests {
    private let now = Timestamp(microseconds: 1_800_000_000_000_000)

    private func ago(_ seconds: Int) -> Timestamp { now.advanced(by: .seconds(-seconds)) }

    private func retention(
        _ ledger: MemoryLedger, days: Int = 90, bytesMax: Int = 1 << 30,
        oldestUnsettled: Timestamp? = nil
    ) throws -> DeadLetterRetention {
        DeadLetterRetention(
            ledger: ledger,
            folder: try DeadLetterFolder(
                DeadLetterFiles(
                    directory: ledger.path,
                    rootKey: RootKey(bytes: [UInt8](repeating: 9, count: 32)))),
            policy: DeadLetterPolicy(
                retention: .seconds(days * 86_400), bytesMax: bytesMax),
            node: "node", oldestUnsettled: { oldestUnsettled })
    }

    @Test func discardsOpenLettersOverTheAgeWithTheirFiles() async throws {
        let ledger = try MemoryLedger()
        for number in 0..<250 { try ledger.add(at: ago(91 * 86_400 + 250 - number)) }
        let exactly = try ledger.add(at: ago(90 * 86_400))
        let young = try ledger.add(at: ago(10))
        let outcome = try await retention(ledger).round(at: now)
        #expect(outcome == .init(expired: 250, sweptFiles: 0))
        #expect(ledger.open == [exactly, young])
        #expect(Set(ledger.expired) == ["dead_letter.expired age"])
        #expect(try ledger.files.count == 4)
    }

    /// Limits at n - 1, n, n + 1.
    @Test(arguments: [(999, 1), (1000, 0), (1001, 0), (799, 2), (0, 5)])
    func discardsTheOldestBeyondTheBytes(bytesMax: Int, expired: Int) async throws {
        let ledger = try MemoryLedger()
        let names = try (0..<5).map { try ledger.add(at: ago(1000 - $0)) }
        let outcome = try await retention(ledger, bytesMax: bytesMax).round(at: now)
        #expect(outcome == .init(expired: expired, sweptFiles: 0))
        #expect(ledger.open == Array(names.dropFirst(expired)))
        #expect(Set(ledger.expired).isSubset(of: ["dead_letter.expired bytes"]))
        #expect(try ledger.files.count == (5 - expired) * 2)
    }

    @Test func aLetterThatIsBeingRetriedIsNotDiscarded() async throws {
        let ledger = try MemoryLedger()
        let retrying = try ledger.add(at: ago(200 * 86_400), isRetrying: true)
        try ledger.add(at: ago(100 * 86_400))
        try await retention(ledger, bytesMax: 0).round(at: now)
        #expect(ledger.open == [retrying])
        #expect(try ledger.files == ["\(retrying).1", "\(retrying).2"])
    }

    @Test func sweepsOldFilesOfNoLetterAndNothingElse() async throws {
        let ledger = try MemoryLedger()
        let open = try ledger.add(at: ago(7200))
        let resolved = try ledger.add(at: ago(7200), resolution: "discarded")
        let young = try ledger.add(at: ago(3599), resolution: "settled")
        let stranger = "\(DeviceID.random())-\(BundleID.random())-0123456789abcdef.1"
        let others = [stranger, "notes.txt", "\(open).1.tmp", "..1"]
        for name in others { try ledger.write(name, at: ago(1_000_000)) }
        let outcome = try await retention(ledger).round(at: now)
        #expect(outcome == .init(expired: 0, sweptFiles: 2))
        let kept = [open, young].flatMap { ["\($0).1", "\($0).2"] } + others
        #expect(try ledger.files == Set(kept))
        #expect(try !ledger.files.contains("\(resolved).1"))
    }

    @Test func sweepsNothingYoungerThanTheOldestUnsettledBundle() async throws {
        let ledger = try MemoryLedger()
        try ledger.add(at: ago(86_400), resolution: "settled")
        let busy = try retention(ledger, oldestUnsettled: ago(2 * 86_400))
        #expect(try await busy.round(at: now).sweptFiles == 0)
        let idle = try retention(ledger, oldestUnsettled: ago(3600))
        #expect(try await idle.round(at: now).sweptFiles == 2)
    }

    @Test func knowsTheFilesOfDeadLettersByTheirNames() {
        let base = "\(DeviceID.random())-\(BundleID.random())-0123456789abcdef"
        #expect(DeadLetterName("\(base).1")?.base == base)
        #expect(DeadLetterName("\(base).1000") != nil)
        for name in [
            base, "\(base).", "\(base).0", "\(base).1001", "\(base).x", "\(base)0.1",
            "\(base.dropLast()).1", "x\(base.dropFirst()).1", ".1", "",
        ] {
            #expect(DeadLetterName(name) == nil, "\(name)")
        }
    }
}
