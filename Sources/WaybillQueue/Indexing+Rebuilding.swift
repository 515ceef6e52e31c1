internal import Logging
internal import Metrics
internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

/// What a segment's records say, for an index that is made again.
private struct ScannedRecords {
    var bundles: [(sequence: UInt64, bundle: QueuedBundle)] = []
    var settlements: [IndexedSettlement] = []
    var faults: [RecoveryFault] = []
    /// What is known of bundles whose records are gone.
    var names: [UInt64: BundleName] = [:]

    /// Reads them all; blocks.
    init(of segment: UInt64, _ log: SegmentedLog) throws(LogError) {
        let scan = try LogError.catching {
            try log.scan(segment) { take($0) }
        }
        faults = scan.faults
        for record in scan.lost { names[record.sequence] = BundleName(record.name) }
    }

    private mutating func take(_ record: LogRecord) {
        if let message = QueueRecord.decodeBundle(record.payload, withBytes: false),
            record.type == QueueRecord.bundleType
        {
            bundles.append((record.sequence, QueuedBundle(message, position: record.position)))
        } else if let settlement = SettlementRecord(record.payload) {
            settlements += settlement.entries.map {
                IndexedSettlement(
                    entry: $0, time: settlement.time, bytes: $0.bytes, record: record.sequence)
            }
        }
    }

    /// Takes the names that no record has from the index that is not what it was, piece by piece.
    mutating func name(_ live: [UInt64], from index: SegmentIndex) throws(LogError) {
        let found = Set(bundles.map(\.sequence))
        for sequence in live where !found.contains(sequence) && names[sequence] == nil {
            do throws(LogError) {
                names[sequence] = try index.readRow(of: sequence).map { BundleName($0.bundle) }
            } catch {
                // The piece that the row lies in is the damaged one: others may be good.
                guard case .damaged = error else { throw error }
            }
        }
    }
}

extension Indexing {
    /// What ``damage`` holds, by segment.
    var faults: [String] {
        damage.withLock { $0 }.sorted { $0.key < $1.key }.flatMap(\.value)
    }

    /// Makes an index anew from the segment's records. What is not in them is lost: named by the records
    /// behind it, or by what can still be read of the index, and in any case told as damage.
    func rebuild(_ number: UInt64) throws(LogError) {
        guard let segment = log.storedSegment(number) else {
            return shared.update { $0.state.abandon(number) }
        }
        var records = try ScannedRecords(of: number, log)
        let (old, live) = shared.withLock { shared in
            (shared.state.shelf[number]?.index, shared.state.shelf.sequences(in: number))
        }
        if let old { try records.name(live, from: old) }
        let built = try IndexBuild.make(
            bundles: records.bundles, settlements: records.settlements, segment, logger)
        let scanned = records
        let gone = shared.update { shared -> [UInt64]? in
            // Nor may it tell of what the segment was before it was written anew.
            guard log.storedSegment(number)?.isSame(as: segment) == true else { return nil }
            return shared.state.replaceIndex(
                built, found: Set(scanned.bundles.map(\.sequence)), names: scanned.names, at: .now)
        }
        guard let gone else { return }
        tell(scanned.faults, of: number)
        logger.error(
            "an index of the log was damaged and has been made again",
            metadata: [
                "queue.segment": "\(number)", "queue.lost": "\(gone.count)",
                "queue.named": "\(gone.count { scanned.names[$0] != nil })",
            ])
        guard !gone.isEmpty else { return }
        Counter(label: "waybill_bundles_lost_total").increment(by: gone.count)
        wake()
    }

    /// As an opening tells of damage in records that it reads.
    private func tell(_ faults: [RecoveryFault], of number: UInt64) {
        guard !faults.isEmpty else { return }
        damage.withLock { $0[number] = faults.map(\.description) }
        for fault in faults {
            logger.error("log damage found", metadata: ["log.fault": "\(fault)"])
        }
    }
}
