import Synchronization
import Testing
import WaybillThreads

@testable import WaybillUpload

/// Disk under the floor or backlog over the ceiling: 507 or 503; with hysteresis, time passed in.
@Suite struct IntakeGateTests {
    /// What is said of one measurement of the disk after the other.
    private func refusals(
        _ options: IntakeGate.Options, free: [Int], total: Int
    ) -> [IntakeState.Refusal?] {
        var state = IntakeState(options: options)
        var now = Deadline(nanoseconds: 1)
        return free.map { free in
            now = now.advanced(by: options.sampleInterval)
            state.take(free: free, total: total, at: now)
            return state.refusal
        }
    }

    /// What is said of one backlog after the other.
    private func refusals(
        _ options: IntakeGate.Options, bundles: [Int] = [], bytes: [Int] = []
    ) -> [IntakeState.Refusal?] {
        var state = IntakeState(options: options)
        return (bundles.map { ($0, 0) } + bytes.map { (0, $0) }).map { bundles, bytes in
            state.take(bundles: bundles, bytes: bytes)
            return state.refusal
        }
    }

    @Test func closesBelowTheFloorAndOpensATenthAboveIt() {
        let free = [1000, 999, 1000, 1099, 1100, 1000, 999]
        let expected: [IntakeState.Refusal?] = [
            nil, .diskFull, .diskFull, .diskFull, nil, nil, .diskFull,
        ]
        #expect(
            refusals(IntakeGate.Options(diskFreeFloor: 1000), free: free, total: 1_000_000)
                == expected)
        #expect(
            refusals(IntakeGate.Options(diskFreeFloor: 0), free: free, total: 1_000_000)
                .allSatisfy { $0 == nil })
    }

    @Test(arguments: [(100 << 20, 5 << 20), (1 << 40, 1 << 30), (20 << 30, 1 << 30)])
    func theFloorIsAGibibyteOrATwentiethOfTheDisk(total: Int, floor: Int) {
        let found = refusals(IntakeGate.Options(), free: [floor, floor - 1], total: total)
        #expect(found == [nil, .diskFull])
    }

    @Test func closesAtTheCeilingAndOpensAtNineTenths() {
        let depths = [99, 100, 99, 91, 90, 99, 100]
        let expected: [IntakeState.Refusal?] = [
            nil, .backlogFull, .backlogFull, .backlogFull, nil, nil, .backlogFull,
        ]
        #expect(
            refusals(IntakeGate.Options(diskFreeFloor: 0, bundlesMax: 100), bundles: depths)
                == expected)
        #expect(
            refusals(IntakeGate.Options(diskFreeFloor: 0, bytesMax: 100), bytes: depths)
                == expected)
    }

    @Test(arguments: [(1, 0), (2, 1), (9, 8), (10, 9), (11, 9), (1 << 50, 1_013_309_916_158_361)])
    func everyCeilingOpensAgainATenthBelowIt(ceiling: Int, opensAt: Int) {
        let values = [ceiling - 1, ceiling, opensAt + 1, opensAt, ceiling]
        let expected: [IntakeState.Refusal?] = [
            nil, .backlogFull, .backlogFull, nil, .backlogFull,
        ]
        #expect(
            refusals(IntakeGate.Options(diskFreeFloor: 0, bundlesMax: ceiling), bundles: values)
                == expected)
    }

    @Test func seesABacklogThatIsFullAtOnceWhateverWasMeasuredBefore() throws {
        let waiting = Atomic(0)
        let measured = Atomic(0)
        var options = IntakeGate.Options(diskFreeFloor: 1, bundlesMax: 2)
        options.sampleInterval = .seconds(3600)
        let gate = IntakeGate(
            options: options,
            diskFree: {
                measured.wrappingAdd(1, ordering: .relaxed)
                return (free: 5, total: 100)
            }, backlog: { (bundles: waiting.load(ordering: .relaxed), bytes: 0) })
        try gate.check()
        waiting.store(2, ordering: .relaxed)
        #expect(throws: UploadError.self) { try gate.check() }
        waiting.store(1, ordering: .relaxed)
        try gate.check()
        #expect(measured.load(ordering: .relaxed) == 1)
    }

    @Test func measuresOnceInAnInterval() {
        var state = IntakeState(options: IntakeGate.Options(diskFreeFloor: 1))
        let start = Deadline(nanoseconds: 1_000_000_000)
        #expect(state.wantsSample(at: start))
        state.take(free: .max, total: .max, at: start)
        #expect(!state.wantsSample(at: start.advanced(by: .milliseconds(249))))
        #expect(state.wantsSample(at: start.advanced(by: .milliseconds(250))))
    }

    @Test func drainingRefusesUntilItEnds() throws {
        let measured = Atomic(0)
        let gate = IntakeGate(
            options: IntakeGate.Options(diskFreeFloor: 1),
            diskFree: {
                measured.wrappingAdd(1, ordering: .relaxed)
                return (free: 5, total: 100)
            }, backlog: { (bundles: 0, bytes: 0) })
        try gate.check()
        gate.setDraining(true)
        #expect(gate.isDraining)
        let error = #expect(throws: UploadError.self) { try gate.check() }
        #expect(error?.shortDescription == "draining")
        #expect(error?.isRetryable == true)
        gate.setDraining(false)
        try gate.check()
        #expect(measured.load(ordering: .relaxed) >= 1)
    }

    @Test func tellsTheRoomOfAFileSystem() {
        let room = IntakeGate.room(at: "/")
        #expect(room.free > 0 && room.free <= room.total)
        #expect(IntakeGate.room(at: "/no/such/place").free == .max)
    }
}
