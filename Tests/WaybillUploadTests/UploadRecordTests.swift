import Crypto
import Testing
import WaybillModel

@testable import WaybillUpload

/// The record of an upload: cut at every length, and with every byte damaged.
@Suite struct UploadRecordTests {
    private let id = UploadID()
    private let plan: UploadPlan
    private let marks: [UploadMark]

    init() throws {
        plan = UploadPlan(
            tenant: TenantID(7), tenantSlug: try #require(TenantSlug("acme")), deviceID: .random(),
            target: UploadTarget(bundleID: .random(), part: 3, partCount: nil, epoch: 2),
            expected: [ExpectedDigest(algorithm: .sha512, bytes: Array(repeating: 9, count: 64))],
            wanted: [.sha256], metadata: "bundle_id abc", concatenation: nil,
            createdAt: Timestamp(microseconds: 5), source: "127.0.0.1")
        let first = UploadMark(time: Timestamp(microseconds: 5), byteCount: 70_000)
        var second = first.next(.receiving, at: Timestamp(microseconds: 6))
        second.offset = 4096
        second.check = [1, 2, 3, 4, 5, 6, 7, 8]
        marks = [second, first]
    }

    /// With both marks.
    private var record: [UInt8] {
        var bytes = UploadRecord.bytes(of: plan, id, marks[1])
        let slot = UploadRecord.slot(marks[0], of: id)
        let place = UploadRecord.offset(of: marks[0])
        bytes.replaceSubrange(place..<place + slot.count, with: slot)
        return bytes
    }

    @Test func readsWhatItWrote() throws {
        let read = try #require(UploadRecord.read(record, of: id))
        #expect(read.plan == plan)
        #expect(read.marks == marks)
    }

    @Test func aPieceHasNoTarget() throws {
        var plan = plan
        plan.target = nil
        let bytes = UploadRecord.bytes(of: plan, id, marks[1])
        #expect(try #require(UploadRecord.read(bytes, of: id)).plan == plan)
    }

    @Test func marksAreWrittenInTurn() {
        #expect(UploadRecord.offset(of: marks[0]) != UploadRecord.offset(of: marks[1]))
        #expect(UploadRecord.slot(marks[0], of: id).count <= UploadRecord.markStride)
    }

    @Test func withAnyByteDamagedItTellsNothingWrong() throws {
        let bytes = record
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0x41
            guard let read = UploadRecord.read(damaged, of: id) else { continue }
            #expect(read.plan == plan)
            #expect(read.marks == marks || read.marks == [marks[0]] || read.marks == [marks[1]])
        }
    }

    @Test func cutAnywhereItIsNone() {
        let bytes = record
        for count in bytes.indices {
            #expect(UploadRecord.read(Array(bytes.prefix(count)), of: id) == nil)
        }
    }

    @Test func underAnotherNameItIsNone() {
        #expect(UploadRecord.read(record, of: UploadID()) == nil)
    }

    @Test func namesAreReadAsTheyAreWritten() {
        #expect(UploadID("\(id)") == id)
        for text in [
            "", "../../x", "\(id)0", String("\(id)".dropLast()), "\(id)".uppercased() + "G",
        ] {
            #expect(UploadID(text) == nil)
        }
    }
}
