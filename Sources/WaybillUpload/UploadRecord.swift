internal import Crypto
internal import SegmentedLog
internal import WaybillModel

/// The file beside an upload's bytes: two places for marks, written in turn, and what was said at
/// the beginning.
///
/// The form is in OnDiskFormat.md beside this file. Pure: reads and makes bytes only.
enum UploadRecord {
    /// Each mark has a sector of its own, so that a torn write spoils one of them at most.
    static let markStride = 512
    private static let planOffset = 2 * markStride
    private static let checkByteCount = 8
    private static let version: UInt8 = 1

    /// The whole file as it is made.
    static func bytes(of plan: UploadPlan, _ id: UploadID, _ mark: UploadMark) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: planOffset)
        let first = slot(mark, of: id)
        let place = offset(of: mark)
        bytes.replaceSubrange(place..<place + first.count, with: first)
        let body = encode(plan)
        var writer = FieldWriter(capacity: 4 + body.count + checkByteCount)
        writer.integer(UInt32(body.count))
        writer.raw(body)
        writer.raw(check(body, of: id))
        return bytes + writer.bytes
    }

    /// Where a mark is written.
    static func offset(of mark: UploadMark) -> Int { Int(mark.sequence % 2) * markStride }

    static func slot(_ mark: UploadMark, of id: UploadID) -> [UInt8] {
        var writer = FieldWriter(capacity: 64)
        writer.integer(version)
        writer.integer(mark.phase.rawValue)
        writer.integer(mark.sequence)
        writer.integer(UInt64(mark.offset))
        writer.integer(mark.byteCount.map { UInt64($0) } ?? .max)
        writer.integer(mark.time.microseconds)
        writer.raw(mark.check)
        writer.raw(check(writer.bytes, of: id))
        return writer.bytes
    }

    /// What a file says: the plan, and its good marks, the newest first; nil without a plan or a mark.
    static func read(_ bytes: [UInt8], of id: UploadID) -> (plan: UploadPlan, marks: [UploadMark])?
    {
        guard bytes.count > planOffset, let plan = readPlan(bytes[planOffset...], of: id) else {
            return nil
        }
        let marks = [0, markStride].compactMap { readSlot(bytes[$0..<$0 + markStride], of: id) }
            .sorted { $0.sequence > $1.sequence }
        return marks.isEmpty ? nil : (plan, marks)
    }

    // MARK: Inside

    private static func check(_ bytes: [UInt8], of id: UploadID) -> [UInt8] {
        var hash = SHA256()
        hash.update(data: id.bytes)
        hash.update(data: bytes)
        return Array(Array(hash.finalize()).prefix(checkByteCount))
    }

    private static func readSlot(_ bytes: ArraySlice<UInt8>, of id: UploadID) -> UploadMark? {
        var reader = FieldReader(bytes)
        guard reader.integer(UInt8.self) == version,
            let phase = reader.integer(UInt8.self).flatMap({ UploadMark.Phase(rawValue: $0) }),
            let sequence = reader.integer(UInt64.self), let offset = reader.integer(UInt64.self),
            let byteCount = reader.integer(UInt64.self), let time = reader.integer(Int64.self),
            let digest = reader.raw(UploadMark.checkByteCount)
        else { return nil }
        var mark = UploadMark(
            time: Timestamp(microseconds: time),
            byteCount: byteCount == .max ? nil : Int(clamping: byteCount))
        mark.phase = phase
        mark.sequence = sequence
        mark.offset = Int(clamping: offset)
        mark.check = Array(digest)
        return bytes.starts(with: slot(mark, of: id)) ? mark : nil
    }

    private static func encode(_ plan: UploadPlan) -> [UInt8] {
        var writer = FieldWriter(capacity: 256)
        writer.integer(version)
        writer.integer(plan.tenant.number)
        writer.text(plan.tenantSlug.text)
        writer.raw(plan.deviceID.bytes)
        writer.integer(plan.createdAt.microseconds)
        writer.text(plan.source)
        writer.text(plan.metadata)
        writer.text(plan.concatenation)
        writer.integer(UInt8(plan.expected.count))
        for expected in plan.expected {
            writer.text(expected.algorithm.rawValue)
            writer.integer(UInt8(expected.bytes.count))
            writer.raw(expected.bytes)
        }
        writer.integer(UInt8(plan.wanted.count))
        for algorithm in plan.wanted { writer.text(algorithm.rawValue) }
        writer.integer(UInt8(plan.endsAtLength ? 1 : 0))
        writer.integer(UInt8(plan.target == nil ? 0 : 1))
        if let target = plan.target {
            writer.raw(target.bundleID.bytes)
            writer.integer(UInt32(target.part))
            writer.integer(UInt32(target.partCount ?? 0))
            writer.integer(target.epoch.map { Int64($0) } ?? .min)
        }
        return writer.bytes
    }

    private static func readPlan(_ bytes: ArraySlice<UInt8>, of id: UploadID) -> UploadPlan? {
        var frame = FieldReader(bytes)
        guard let count = frame.integer(UInt32.self), let body = frame.raw(Int(count)),
            let told = frame.raw(checkByteCount), told.elementsEqual(check(Array(body), of: id))
        else { return nil }
        var reader = FieldReader(body)
        guard reader.integer(UInt8.self) == version, let tenant = reader.integer(Int32.self),
            let slug = reader.text()?.flatMap({ TenantSlug($0) }),
            let deviceID = reader.raw(16).flatMap({ DeviceID(bytes: $0) }),
            let createdAt = reader.integer(Int64.self), let source = reader.text(),
            let metadata = reader.text(), let concatenation = reader.text(),
            let expected = readExpected(&reader), let wanted = readWanted(&reader),
            let endsAtLength = reader.integer(UInt8.self),
            let hasTarget = reader.integer(UInt8.self)
        else { return nil }
        var plan = UploadPlan(
            tenant: TenantID(tenant), tenantSlug: slug, deviceID: deviceID, target: nil,
            expected: expected, wanted: wanted, endsAtLength: endsAtLength == 1, metadata: metadata,
            concatenation: concatenation,
            createdAt: Timestamp(microseconds: createdAt), source: source)
        guard hasTarget == 1 else { return plan }
        guard let bundleID = reader.raw(16).flatMap({ BundleID(bytes: $0) }),
            let part = reader.integer(UInt32.self), let partCount = reader.integer(UInt32.self),
            let epoch = reader.integer(Int64.self)
        else { return nil }
        plan.target = UploadTarget(
            bundleID: bundleID, part: Int(part), partCount: partCount == 0 ? nil : Int(partCount),
            epoch: epoch == .min ? nil : Int(epoch))
        return plan
    }

    private static func readExpected(_ reader: inout FieldReader) -> [ExpectedDigest]? {
        guard let count = reader.integer(UInt8.self) else { return nil }
        var expected: [ExpectedDigest] = []
        for _ in 0..<count {
            guard let algorithm = readAlgorithm(&reader),
                let byteCount = reader.integer(UInt8.self), let bytes = reader.raw(Int(byteCount))
            else { return nil }
            expected.append(ExpectedDigest(algorithm: algorithm, bytes: Array(bytes)))
        }
        return expected
    }

    private static func readWanted(_ reader: inout FieldReader) -> [DigestAlgorithm]? {
        guard let count = reader.integer(UInt8.self) else { return nil }
        var wanted: [DigestAlgorithm] = []
        for _ in 0..<count {
            guard let algorithm = readAlgorithm(&reader) else { return nil }
            wanted.append(algorithm)
        }
        return wanted
    }

    private static func readAlgorithm(_ reader: inout FieldReader) -> DigestAlgorithm? {
        reader.text()?.flatMap { DigestAlgorithm(rawValue: $0) }
    }
}
