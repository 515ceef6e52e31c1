internal import SegmentedLog

extension MutantProbes {
    /// The power goes at each call in turn: of the opening that finishes a deletion, or of the beginning
    /// of the segment that follows a deletion, or a segment that was written anew. No opening afterwards
    /// may find a segment that it does not know.
    func cutDeletions() throws {
        step = "cutting deletions"
        if number(0...1) == 0 {
            try cutOpeningsAfterDeletion()
        } else {
            try cutSegmentAfterDeletion()
        }
    }

    private func cutOpeningsAfterDeletion() throws {
        let disk = SimulatedDisk(capacity: 4 << 20)
        let (log, kept) = try deleteSome(on: disk)
        cut(disk, after: number(3...8))
        log.work()
        disk.cutPower(&chance)
        for distance in 1...200 {
            let image = disk.copy()
            cut(image, after: distance)
            // What it throws is the power's.
            _ = try? open(image)
            guard image.isOut else { return }
            try check(image, kept)
        }
    }

    private func cutSegmentAfterDeletion() throws {
        let rewrites = number(0...1) == 0
        for distance in 1...12 {
            let disk = SimulatedDisk(capacity: 4 << 20)
            let (log, kept) = try rewrites ? rewriteOne(on: disk) : deleteSome(on: disk)
            log.work()
            cut(disk, after: distance)
            // More than the segment has room for; nobody asks for these again.
            for id in 0..<20 {
                log.append(type: 2, payload: Self.payload(id, count: 1000)) { _ in }
            }
            log.work()
            try check(disk, kept)
        }
    }

    /// A log of some segments, of which some are to be deleted; the records of the others.
    private func deleteSome(on disk: SimulatedDisk) throws -> (log: SegmentedLog, kept: [Int]) {
        let log = try open(disk).log
        let records = try fill(log, count: number(40...60))
        let deleted = Set(log.closedSegments.filter { _ in number(0...2) > 0 })
        log.delete(deleted.sorted())
        let kept = records.indices.filter { !deleted.contains(records[$0].position.segment) }
        return (log, kept)
    }

    /// A log of some segments, of which one was written anew; the records that are still there.
    private func rewriteOne(on disk: SimulatedDisk) throws -> (log: SegmentedLog, kept: [Int]) {
        let log = try open(disk).log
        let records = try fill(log, count: number(40...60))
        guard let segment = log.closedSegments.randomElement(using: &chance) else {
            return (log, Array(records.indices))
        }
        let gone = Set(
            records.filter { $0.position.segment == segment && $0.sequence % 3 > 0 }
                .map(\.sequence))
        let draft = try log.draft(of: segment) { !gone.contains($0.sequence) }
        try log.replace(with: draft) { $0() }
        return (log, records.indices.filter { !gone.contains(records[$0].sequence) })
    }

    private func cut(_ disk: SimulatedDisk, after calls: Int) {
        var plan = SimulatedDisk.Plan()
        plan.powerCutAt = disk.counts.calls + calls
        disk.setPlan(plan)
    }

    /// What a power cut makes of the disk now, some times over.
    private func check(_ disk: SimulatedDisk, _ kept: [Int]) throws {
        for _ in 0..<3 {
            let image = disk.copy()
            image.cutPower(&chance)
            image.setPlan(SimulatedDisk.Plan())
            let opened = try open(image)
            guard opened.report.faults.isEmpty else {
                throw ProbeMismatch(
                    what: "after a power cut an opening reports \(opened.report.faults)")
            }
            let found = Set(
                opened.records.filter { $0.type == 1 }.compactMap { Self.id(of: $0.payload) })
            if let id = kept.first(where: { !found.contains($0) }) {
                throw ProbeMismatch(what: "record \(id) was acknowledged and is lost")
            }
        }
    }
}
