import Synchronization
import Testing
import WaybillThreads

@testable import WaybillUpload

/// Disk under the floor or backlog over the ceiling: 507 or 503; with hysteresis, time passed in.
@Suite struct IntakeGateTests {
    private func refusals(
        _ options: IntakeGate.Options, _ samples: [IntakeState.Sample]
    ) -> [IntakeState.Refusal?] {
        var state = IntakeState(options: options)
        var now = Deadline(nanoseconds: 1)
        return samples.map { sample in
            now = now.advanced(by: options.sampleInterval)
            state.take(sample, at: now)
            return state.refusal
        }
    }

    @Test func closesBelowTheFloorAndOpensATenthAboveIt() {
        let samples = [1000, 999, 1000, 1099, 1100, 1000, 999].map {
            IntakeState.Sample(free: $0, total: 1_000_000)
        }
        let expected: [IntakeState.Refusal?] = [
            nil, .diskFull, .diskFull, .diskFull, nil, nil, .diskFull,
        ]
        #expect(refusals(IntakeGate.Options(diskFreeFloor: 1000), samples) == expected)
        #expect(
            refusals(IntakeGate.Options(diskFreeFloor: 0), samples).allSatisfy { $0 == nil })
    }

    @Test(arguments: [(100 << 20, 5 << 20), (1 << 40, 1 << 30), (20 << 30, 1 << 30)])
    func theFloorIsAGibibyteOrATwentiethOfTheDisk(total: Int, floor: Int) {
        let found = refusals(
            IntakeGate.Options(),
            [
                IntakeState.Sample(free: floor, total: total),
                IntakeState.Sample(free: floor - 1, total: total),
            ])
        #expect(found == [nil, .diskFull])
    }

    @Test func closesAtTheCeilingAndOpensAtNineTenths() {
        let depths = [99, 100, 99, 91, 90, 99, 100]
        let expected: [IntakeState.Refusal?] = [
            nil, .backlogFull, .backlogFull, .backlogFull, nil, nil, .backlogFull,
        ]
        #expect(
            refusals(
                IntakeGate.Options(diskFreeFloor: 0, bundlesMax: 100),
                depths.map { IntakeState.Sample(bundles: $0) }) == expected)
        #expect(
            refusals(
                IntakeGate.Options(diskFreeFloor: 0, bytesMax: 100),
                depths.map { IntakeState.Sample(bytes: $0) }) == expected)
    }

    @Test func measuresOnceInAnInterval() {
        var state = IntakeState(options: IntakeGate.Options(diskFreeFloor: 1))
        let start = Deadline(nanoseconds: 1_000_000_000)
        #expect(state.wantsSample(at: start))
        state.take(IntakeState.Sample(), at: start)
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
