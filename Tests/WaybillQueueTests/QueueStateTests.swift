import SegmentedLog
import Testing
import WaybillModel
import WaybillThreads

@testable import WaybillQueue

@Suite struct QueueStateTests {
    private var state = QueueState(options: .init())
    private var sequence: UInt64 = 0
    private let start = Deadline(nanoseconds: 1_000_000_000_000)

    private mutating func add(
        device: UInt64, bundle: UInt64, bytes: Int = 16, tenant: Int32 = 1, segment: UInt64 = 1
    ) throws {
        sequence += 1
        let message = try QueueFixture.message(
            device: device, bundle: bundle, bytes: bytes, tenant: tenant)
        guard case .new = state.admit(message.key) else {
            Issue.record("the key is known")
            return
        }
        let position = RecordPosition(
            segment: segment, offset: UInt32(sequence), byteCount: 1)
        _ = state.insert(QueuedBundle(message, position: position), sequence: sequence)
    }

    private mutating func take(
        _ request: LeaseRequest = QueueFixture.request(), after: Duration = .zero
    ) -> [QueueState.Grant]? {
        guard case .granted(let grants, _) = state.take(request, now: start.advanced(by: after))
        else { return nil }
        return grants
    }

    private func keys(_ grants: [QueueState.Grant]) -> [(sequence: UInt64, number: UInt64)] {
        grants.map { ($0.sequence, $0.number) }
    }

    @Test mutating func handsOutADevicesBundlesInOrderToOneHolderAtATime() throws {
        for bundle in 1...4 as ClosedRange<UInt64> { try add(device: 1, bundle: bundle) }
        let first = try #require(take(QueueFixture.request(bundles: 2)))
        #expect(first.map(\.sequence) == [1, 2])
        #expect(take() == nil)
        _ = try state.settle(keys(first), [.settled, .settled], now: start)
        #expect(try #require(take()).map(\.sequence) == [3, 4])
    }

    /// What was done of a device on disk leaves runs behind; they keep nobody waiting.
    @Test mutating func runsInSegmentsThatAreGoneHoldNothingBack() throws {
        let draft = SegmentIndex.draft([], from: 0, settlements: [])
        let index = try #require(try SegmentIndex(.memory(draft.sections), of: 7))
        state.setIndex(index, draft.filter)
        for device in 1...3 as ClosedRange<UInt64> { try add(device: device, bundle: device) }
        for device in state.devices.keys {
            for segment in 8...9 as ClosedRange<UInt32> {
                state.devices[device]?.runs.append(DeviceLine.Run(segment: segment, row: 0))
            }
        }
        for sequence in 1...3 as ClosedRange<UInt64> {
            let grants = try #require(take(QueueFixture.request(bundles: 1)))
            #expect(grants.map(\.sequence) == [sequence])
        }
    }

    /// A start finds one bundle of each device; that of the second one is done.
    private mutating func recover() throws {
        let bundles = try (1...2 as ClosedRange<UInt64>).map { number in
            let message = try QueueFixture.message(device: number, bundle: number)
            let position = RecordPosition(segment: 1, offset: UInt32(number), byteCount: 1)
            return (sequence: number, bundle: QueuedBundle(message, position: position))
        }
        let draft = SegmentIndex.draft(bundles, from: 1, settlements: [])
        let index = try #require(try SegmentIndex(.memory(draft.sections), of: 1))
        state.adopt(
            index, draft.filter, try index.readSequences(), devices: draft.devices)
        let entry = SettlementRecord.Entry(
            sequence: 2, outcome: .settled, attempts: 0, bytes: 16)
        _ = state.replay(
            [IndexedSettlement(entry: entry, time: .now, bytes: 16, record: 3)], in: 2, now: start,
            wallClock: .now, isKept: true)
        state.endReplay(through: 2)
        sequence = 3
    }

    /// All that was read of it was done, and its turn has not come since.
    @Test mutating func aDeviceThatHasNothingLeftTakesOnePlaceWhenMoreComes() throws {
        try recover()
        guard
            case .mustLoad(let orders) = state.take(QueueFixture.request(bundles: 2), now: start)
        else {
            Issue.record("there is nothing to read")
            return
        }
        #expect(orders.count == 2)
        for order in orders { state.take(try order.read()) }
        #expect(take(QueueFixture.request(bundles: 1))?.map(\.sequence) == [1])
        for bundle in 4...5 as ClosedRange<UInt64> {
            try add(device: 2, bundle: bundle, segment: 2)
        }
        let first = try #require(take(QueueFixture.request(bundles: 1)))
        #expect(first.map(\.sequence) == [4])
        #expect(take() == nil, "somebody holds the one before")
        _ = try state.settle(
            keys(first), [.retry(after: .seconds(10), charged: false)], now: start)
        #expect(take(after: .seconds(9)) == nil)
        #expect(take(after: .seconds(10))?.map(\.sequence) == [4, 5])
    }

    @Test mutating func aRetriedBundleHoldsBackItsDevicesLaterOnesUntilItIsDue() throws {
        for bundle in 1...3 as ClosedRange<UInt64> { try add(device: 1, bundle: bundle) }
        let first = try #require(take(QueueFixture.request(bundles: 2)))
        let retry = Settlement.retry(after: .seconds(10), charged: true)
        let effect = try state.settle(keys(first), [retry, .settled], now: start)
        #expect(
            effect.entries == [
                .init(sequence: 1, outcome: .charged, attempts: 1, bytes: 16),
                .init(sequence: 2, outcome: .settled, attempts: 0, bytes: 16),
            ])
        #expect(take(after: .seconds(9)) == nil)
        #expect(state.nextEvent == start.advanced(by: .seconds(10)))
        let again = try #require(take(after: .seconds(10)))
        #expect(again.map(\.sequence) == [1, 3])
        #expect(again.map(\.attempt) == [2, 1])
    }

    @Test mutating func aLeaseThatEndedIsFencedOff() throws {
        try add(device: 1, bundle: 1)
        let first = try #require(take())
        let second = try #require(take(after: .seconds(60)))
        #expect(second[0].sequence == 1 && second[0].number > first[0].number)
        #expect(second[0].attempt == 1)
        let now = start.advanced(by: .seconds(61))
        #expect(throws: QueueError.staleLease) {
            try state.settle(keys(first), [.settled], now: now)
        }
        #expect(throws: QueueError.staleLease) {
            try state.extend(keys(first), to: now.advanced(by: .seconds(5)), now: now)
        }
        #expect(state.depth == 1)
        _ = try state.settle(keys(second), [.settled], now: now)
        #expect(state.depth == 0 && state.leasedCount == 0 && state.devices.isEmpty)
    }

    @Test mutating func anEndedLeaseIsStaleEvenBeforeSomebodyElseHasIt() throws {
        try add(device: 1, bundle: 1)
        let first = try #require(take())
        #expect(throws: QueueError.staleLease) {
            try state.settle(keys(first), [.settled], now: start.advanced(by: .seconds(60)))
        }
    }

    @Test mutating func anExtendedLeaseLastsLonger() throws {
        try add(device: 1, bundle: 1)
        let first = try #require(take())
        let end = start.advanced(by: .seconds(120))
        try state.extend(keys(first), to: end, now: start.advanced(by: .seconds(59)))
        #expect(take(after: .seconds(119)) == nil)
        #expect(take(after: .seconds(120)) != nil)
    }

    @Test mutating func goesRoundBetweenDevices() throws {
        for bundle in 1...100 as ClosedRange<UInt64> { try add(device: 1, bundle: bundle) }
        for device in 2...9 as ClosedRange<UInt64> { try add(device: device, bundle: 1) }
        let first = try #require(take(QueueFixture.request(bundles: 9)))
        #expect(first.map(\.sequence) == [1, 101, 102, 103, 104, 105, 106, 107, 108])
        let results = [Settlement](repeating: .settled, count: 9)
        _ = try state.settle(keys(first), results, now: start)
        #expect(
            try #require(take(QueueFixture.request(bundles: 9))).map(\.sequence) == Array(2...10))
    }

    @Test mutating func staysWithinBytesButHandsOutTheFirstWhateverItsSize() throws {
        try add(device: 1, bundle: 1, bytes: 1000)
        try add(device: 2, bundle: 2, bytes: 100)
        try add(device: 3, bundle: 3, bytes: 100)
        #expect(try #require(take(QueueFixture.request(bytes: 500))).map(\.sequence) == [1])
        #expect(try #require(take(QueueFixture.request(bytes: 150))).map(\.sequence) == [2])
        #expect(try #require(take(QueueFixture.request(bytes: 150))).map(\.sequence) == [3])
    }

    @Test mutating func aLargeBundleIsALeaseOfItsOwn() throws {
        state = QueueState(options: .init(sharedLeaseBytesMax: 100))
        try add(device: 1, bundle: 1, bytes: 100)
        try add(device: 2, bundle: 2, bytes: 101)
        try add(device: 3, bundle: 3, bytes: 100)
        #expect(try #require(take()).map(\.sequence) == [1, 3])
        #expect(try #require(take()).map(\.sequence) == [2])
    }

    @Test mutating func forgetsSettledBundlesByAgeAndByNumber() throws {
        state = QueueState(
            options: .init(settledRetention: .seconds(600), settledEntriesMax: 2))
        for bundle in 1...3 as ClosedRange<UInt64> { try add(device: 1, bundle: bundle) }
        let grants = try #require(take())
        _ = try state.settle(keys(grants), [.settled, .settled, .settled], now: start)
        let found = try (1...3).map { try state.find(QueueFixture.message(bundle: $0).key)?.state }
        #expect(found == [nil, .settled, .settled])
        state.forgetFinished(now: start.advanced(by: .seconds(600)))
        #expect(try state.find(QueueFixture.message(bundle: 3).key) == nil)
    }

    /// A bundle that was lost, sent again and settled has two ends: the earlier one is not its own.
    @Test(arguments: [false, true])
    mutating func aBundleFinishedAgainIsRememberedForItsLaterEnd(isForgotten: Bool) throws {
        state = QueueState(options: .init(settledRetention: .seconds(600)))
        let key = try QueueFixture.message(bundle: 1).key
        try add(device: 1, bundle: 1)
        if isForgotten {
            let first = try #require(take())
            _ = try state.settle(keys(first), [.settled], now: start)
            state.forget(key)
        } else {
            _ = take()
            _ = state.lose(1, now: start)
        }
        try add(device: 1, bundle: 1)
        let later = start.advanced(by: .seconds(500))
        let again = try #require(take(after: .seconds(500)))
        _ = try state.settle(keys(again), [.settled], now: later)
        state.forgetFinished(now: start.advanced(by: .seconds(1099)))
        #expect(state.find(key)?.state == .settled)
        state.forgetFinished(now: start.advanced(by: .seconds(1100)))
        #expect(state.find(key) == nil)
    }

    @Test mutating func countsTheBytesOfBundlesUntilTheyAreFinished() throws {
        try add(device: 1, bundle: 1, bytes: 100)
        try add(device: 1, bundle: 2, bytes: 20)
        try add(device: 2, bundle: 3, bytes: 3)
        #expect(state.bytes == 123)
        let grants = try #require(take())
        #expect(state.bytes == 123)
        let retry = Settlement.retry(after: .zero, charged: true)
        _ = try state.settle(keys(grants), [.settled, retry, .quarantined], now: start)
        #expect(state.bytes == 20)
        _ = take()
        for sequence in state.bundles.keys { _ = state.lose(sequence, now: start) }
        #expect(state.bytes == 0 && state.depth == 0)
    }

    /// CONTRACT: "`lost`: the server found its copy damaged and says so; send it again."
    @Test mutating func remembersALostBundleUntilItIsSentAgainOrTooManyAre() throws {
        state = QueueState(options: .init(settledRetention: .zero, lostEntriesMax: 2))
        for bundle in 1...2 as ClosedRange<UInt64> { try add(device: 1, bundle: bundle) }
        let grants = try #require(take())
        let effect = try state.settle(keys(grants), [.lost, .lost], now: start)
        #expect(effect.entries.map(\.outcome) == [.lost, .lost])
        state.forgetFinished(now: start.advanced(by: .seconds(86_400)))
        func found() throws -> [BundleState?] {
            try (1...3).map { try state.find(QueueFixture.message(bundle: $0).key)?.state }
        }
        #expect(try found() == [.lost, .lost, nil])
        try add(device: 1, bundle: 1)
        try add(device: 1, bundle: 3)
        #expect(try found() == [.queued, .lost, .queued])
        let again = try #require(take())
        _ = try state.settle(keys(again), [.lost, .lost], now: start)
        // The oldest went; the first one's earlier loss counts for nothing.
        #expect(try found() == [.lost, nil, .lost])
    }

    @Test mutating func saysOfADeliveryWhetherSomebodyHadItBefore() throws {
        try add(device: 1, bundle: 1)
        let first = try #require(take())
        #expect(first.map(\.isRedelivered) == [false])
        _ = try state.settle(keys(first), [.retry(after: .zero, charged: false)], now: start)
        #expect(try #require(take()).map(\.isRedelivered) == [true])
    }

    @Test func aSegmentStaysUntilThoseItSpeaksOfAreGone() throws {
        var shelf = SegmentShelf()
        for (sequence, segment) in [(1, 1), (2, 1), (3, 2)] as [(UInt64, UInt64)] {
            let position = RecordPosition(segment: segment, offset: 0, byteCount: 1)
            shelf.add(
                QueuedBundle(try QueueFixture.message(bundle: sequence), position: position),
                sequence: sequence)
        }
        #expect(shelf.liveCount == 3 && shelf.liveBytes == 48)
        func settle(_ sequences: [UInt64], in segment: UInt64) {
            for sequence in sequences {
                let isNews = shelf.finish(sequence, bytes: 16)
                #expect(isNews)
            }
            shelf.add(
                sequences.map { sequence in
                    IndexedSettlement(
                        entry: .init(sequence: sequence, outcome: .settled, attempts: 0),
                        time: .now, bytes: 16, record: 1)
                }, in: segment)
        }
        settle([1, 3], in: 3)
        let first = [shelf.takeDeletable { [1, 2, 3] }, shelf.takeDeletable { [1, 3] }]
        #expect(first == [[2], []])
        settle([2], in: 4)
        let second = shelf.takeDeletable { [1, 3] }
        #expect(second == [1, 3])
        #expect(shelf.liveCount == 0 && shelf.liveBytes == 0)
    }

    @Test func recordsReadBackAsTheyWereWritten() throws {
        var message = try QueueFixture.message(bundle: 3, bytes: 40)
        message.parts.append(
            PartContent(digest: .zero, byteCount: 1 << 40, location: .file(name: "part-ü")))
        message.epoch = nil
        message.source = nil
        let payload = QueueRecord.encode(message)
        #expect(QueueRecord.decodeBundle(payload, withBytes: true) == message)
        for count in 0..<payload.count {
            #expect(QueueRecord.decodeBundle(Array(payload.prefix(count)), withBytes: true) == nil)
        }
        let settlement = SettlementRecord(
            time: Timestamp(microseconds: -5),
            entries: [.init(sequence: 9, outcome: .charged, attempts: 3, bytes: 1 << 40)])
        #expect(SettlementRecord(settlement.encode()) == settlement)
    }
}
