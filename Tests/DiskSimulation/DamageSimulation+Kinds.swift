extension DamageSimulation {
    /// One kind of damage, sometimes several times.
    func damage() {
        let image = DiskImage(disk)
        let kinds: [(DiskImage) -> Void] = [
            flipBit, flipBit, flipBit, misdirectWrite, swapRecords, copySegment, putBackSegment,
            deleteSegment, cutSegment, breakSidecar, addStrangeFile, loseIdentity,
        ]
        guard let kind = kinds.randomElement(using: &chance) else { return }
        for _ in 0..<number(1...2) { kind(image) }
    }

    private func note(_ what: String, _ frames: [DiskImage.Frame], in image: DiskImage) {
        damages += 1
        wasDamaged += (wasDamaged.isEmpty ? "" : ", ") + what
        hit.formUnion(frames.map(\.sequence))
        if frames.contains(where: { !image.isVouchedFor($0) }) { mayLookTorn = true }
    }

    // MARK: Bytes

    private func flipBit(_ image: DiskImage) {
        guard let segment = image.segments.randomElement(using: &chance) else { return }
        let (offset, frames): (Int, [DiskImage.Frame])
        switch number(0...5) {
        case 0: (offset, frames) = (number(0...DiskImage.headerBytes - 1), [])
        case 1: (offset, frames) = (DiskImage.copyOffset + number(0...511), [])
        case 2: (offset, frames) = (number(DiskImage.headerBytes...DiskImage.copyOffset - 1), [])
        default:
            guard let frame = segment.frames.randomElement(using: &chance) else { return }
            let place =
                switch number(0...2) {
                case 0: frame.bytes.lowerBound + number(0...31)
                case 1: frame.bytes.upperBound - 1 - number(0...15)
                default: number(frame.bytes.lowerBound...frame.bytes.upperBound - 1)
                }
            (offset, frames) = (place, [frame])
            if image.isNamed(frame) { named = frame.sequence }
        }
        // Both copies of one header: all that the segment holds is gone.
        let isSecond = headersFlipped.contains(segment.path) && frames.isEmpty
        if frames.isEmpty { headersFlipped.insert(segment.path) }
        note(
            "a flip at \(offset) of \(segment.path)", isSecond ? segment.frames : frames, in: image)
        disk.flipBit(segment.path, at: offset, bit: number(0...7))
    }

    /// A write that never came to its place, and destroyed another.
    private func misdirectWrite(_ image: DiskImage) {
        guard let from = image.segments.randomElement(using: &chance),
            let to = image.segments.randomElement(using: &chance),
            let lost = from.frames.randomElement(using: &chance),
            let there = to.frames.randomElement(using: &chance),
            var source = disk.content(from.path)
        else { return }
        let bytes = Array(from.content[lost.bytes])
        source.replaceSubrange(lost.bytes, with: repeatElement(0, count: bytes.count))
        disk.plant(from.path, source, as: .misdirectedWrite)
        guard var target = disk.content(to.path) else { return }
        let end = min(there.bytes.lowerBound + bytes.count, target.count)
        target.replaceSubrange(
            there.bytes.lowerBound..<end, with: bytes.prefix(end - there.bytes.lowerBound))
        disk.plant(to.path, target, as: nil)
        // Zeros that nothing follows are room that was never used, as far as anybody can tell.
        zeroed.insert(lost.sequence)
        for frame in image.segments.last?.frames.reversed() ?? [] {
            guard zeroed.contains(frame.sequence), !image.isVouchedFor(frame) else { break }
            erased.insert(frame.sequence)
        }
        // Whatever stands behind a later record of its own segment is passed over, up to that one's place.
        let isEarlier = from.path == to.path && there.bytes.lowerBound < lost.bytes.lowerBound
        let reach = isEarlier ? max(end, lost.bytes.lowerBound) : end
        let destroyed = to.frames.filter { $0.bytes.overlaps(there.bytes.lowerBound..<reach) }
        note("a misdirected write of \(lost.sequence)", destroyed + [lost], in: image)
    }

    /// Two neighbours change places.
    private func swapRecords(_ image: DiskImage) {
        guard
            let segment = image.segments.filter({ $0.frames.count > 2 })
                .randomElement(using: &chance), var content = disk.content(segment.path)
        else { return }
        let index = number(1...segment.frames.count - 2)
        let (first, second) = (segment.frames[index], segment.frames[index + 1])
        guard content.count >= second.bytes.upperBound else { return }
        content.replaceSubrange(
            first.bytes.lowerBound..<second.bytes.upperBound,
            with: segment.content[second.bytes] + segment.content[first.bytes])
        disk.plant(segment.path, content, as: .swappedRecords)
        note("a swap of \(first.sequence)", [first, second], in: image)
    }

    // MARK: Segments

    private func copySegment(_ image: DiskImage) {
        guard let from = image.segments.randomElement(using: &chance),
            let to = image.segments.filter({ $0.path != from.path }).randomElement(using: &chance)
        else { return }
        disk.plant(to.path, from.content, as: .copiedSegment)
        note("a copy of \(from.path) over \(to.path)", to.frames, in: image)
    }

    private func putBackSegment(_ image: DiskImage) {
        guard
            let old = earlier.filter({ $0.path.hasSuffix(".seg") }).randomElement(using: &chance)
        else { return }
        let now = image.segments.first { $0.path == old.path }?.frames ?? []
        let then = DiskImage.frames(old.path, old.content)
        disk.plant(old.path, old.content, as: .oldSegment)
        let isOlder =
            image.segments.first { $0.path == old.path }
            .map { $0.content.prefix(DiskImage.headerBytes) }
            != old.content.prefix(DiskImage.headerBytes)
        // That a segment was written anew, only the list at the beginning of a later one says.
        if old.path == image.segments.last?.path || isOlder { isRolledBack = true }
        note("\(old.path) put back", now.filter { !then.contains($0) } + now, in: image)
    }

    private func deleteSegment(_ image: DiskImage) {
        guard let segment = pick(image) else { return }
        disk.plant(segment.path, nil, as: .deletedSegment)
        note("\(segment.path) deleted", segment.frames, in: image)
        // The newest one takes with it what said that others were there.
        if segment.path == image.segments.last?.path { mayLookTorn = true }
    }

    private func cutSegment(_ image: DiskImage) {
        guard let segment = pick(image), let at = segment.frames.randomElement(using: &chance)
        else { return }
        disk.plant(
            segment.path, Array(segment.content.prefix(at.bytes.lowerBound)), as: .cutSegment)
        note(
            "\(segment.path) cut at \(at.bytes.lowerBound)",
            segment.frames.filter { $0.bytes.lowerBound >= at.bytes.lowerBound }, in: image)
    }

    /// The last closed one, or any closed one.
    private func pick(
        _ image: DiskImage
    ) -> (path: String, content: [UInt8], frames: [DiskImage.Frame])? {
        let closed = image.segments.dropLast()
        return number(0...1) == 0 ? closed.last : closed.randomElement(using: &chance)
    }

    // MARK: Other files

    private func breakSidecar(_ image: DiskImage) {
        guard let path = disk.names.filter({ $0.hasSuffix(".idx") }).randomElement(using: &chance),
            var content = disk.content(path)
        else { return }
        switch number(0...3) {
        case 0: disk.plant(path, nil, as: .brokenSidecar)
        case 1:
            content.removeLast(content.isEmpty ? 0 : number(1...content.count))
            disk.plant(path, content, as: .brokenSidecar)
        case 2:
            guard !content.isEmpty else { return }
            content[number(0...content.count - 1)] ^= 1 << UInt8(number(0...7))
            disk.plant(path, content, as: .brokenSidecar)
        default:
            guard
                let old = earlier.filter({ $0.path.hasSuffix(".idx") })
                    .randomElement(using: &chance)
            else { return }
            disk.plant(number(0...1) == 0 ? path : old.path, old.content, as: .brokenSidecar)
        }
        note("a broken \(path)", [], in: image)
    }

    private func addStrangeFile(_ image: DiskImage) {
        let free = "/queue/00000000000fff0\(number(0...9)).seg"
        switch number(0...3) {
        case 0: disk.plant(free, [], as: .strangeFile)
        case 1:
            let header = image.segments.randomElement(using: &chance)?.content.prefix(512) ?? []
            disk.plant(free, Array(header), as: .strangeFile)
        case 2: disk.plant("/queue/core", [1, 2, 3], as: .strangeFile)
        default: disk.plant("/queue/0000000000000001.seg.new", [1, 2, 3], as: .strangeFile)
        }
        note("a strange file", [], in: image)
    }

    private func loseIdentity(_ image: DiskImage) {
        if Bool.random(using: &chance) {
            disk.plant("/queue/identity", nil, as: .missingIdentity)
        } else {
            disk.flipBit("/queue/identity", at: number(0...63), bit: number(0...7))
            disk.plant("/queue/identity", disk.content("/queue/identity"), as: .missingIdentity)
        }
        note("a missing identity", [], in: image)
    }
}
