import Testing
import WaybillModel

@testable import WaybillUpload

/// The journal of a declared bundle: cut at every length, and with every byte damaged.
@Suite struct BundleJournalTests {
    private let bundle: OpenBundle

    init() throws {
        var bundle = OpenBundle(
            BundleDeclaration(
                tenant: TenantID(7), tenantSlug: try #require(TenantSlug("acme")),
                deviceID: .random(), bundleID: .random(), epoch: nil,
                parts: [
                    DeclaredPart(byteCount: 3, digest: .of([1])),
                    DeclaredPart(byteCount: nil, digest: nil),
                ], declaredAt: Timestamp(microseconds: 5), source: nil))
        bundle.add(
            CompletedPart(
                number: 2, fileName: "x.part", byteCount: 9, digest: .of([2]),
                unzippedByteCount: 80, completedAt: Timestamp(microseconds: 6)))
        self.bundle = bundle
    }

    private var declarationByteCount: Int {
        BundleJournal.frame(.declared(bundle.declaration), of: bundle.key, at: 0).count
    }

    @Test func readsWhatItWrote() throws {
        let bytes = BundleJournal.journal(of: bundle)
        let contents = try BundleJournal.read(bytes, of: bundle.key)
        #expect(contents.bundle.declaration == bundle.declaration)
        #expect(contents.bundle.completed == bundle.completed)
        #expect(contents.bundle.progressedAt == Timestamp(microseconds: 6))
        #expect(contents.goodByteCount == bytes.count)
        #expect(contents.fault == nil && contents.expiredAt == nil)
    }

    @Test func anExpiryIsTheLastWord() throws {
        var bytes = BundleJournal.journal(of: bundle)
        let time = Timestamp(microseconds: 9)
        bytes += BundleJournal.frame(.expired(time), of: bundle.key, at: bytes.count)
        #expect(try BundleJournal.read(bytes, of: bundle.key).expiredAt == time)
    }

    @Test func cutAtEveryLengthItLosesWhatWasNotFinished() throws {
        let bytes = BundleJournal.journal(of: bundle)
        for count in 0..<bytes.count {
            let cut = Array(bytes.prefix(count))
            guard count >= declarationByteCount else {
                #expect(throws: BundleJournal.Fault.torn) {
                    _ = try BundleJournal.read(cut, of: bundle.key)
                }
                continue
            }
            let contents = try BundleJournal.read(cut, of: bundle.key)
            #expect(contents.bundle.completedCount == 0)
            #expect(contents.goodByteCount == declarationByteCount)
            #expect(contents.fault == (count == declarationByteCount ? nil : .torn))
        }
    }

    @Test func withAnyByteDamagedItTellsNothingWrong() throws {
        let bytes = BundleJournal.journal(of: bundle)
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0x41
            guard index >= declarationByteCount else {
                #expect(throws: BundleJournal.Fault.self) {
                    _ = try BundleJournal.read(damaged, of: bundle.key)
                }
                continue
            }
            let contents = try BundleJournal.read(damaged, of: bundle.key)
            #expect(contents.bundle.completedCount == 0 && contents.fault != nil)
        }
    }

    @Test func aJournalUnderAnotherBundlesNameIsDamaged() throws {
        let bytes = BundleJournal.journal(of: bundle)
        let other = BundleKey(deviceID: bundle.key.deviceID, bundleID: .random())
        #expect(throws: BundleJournal.Fault.self) { _ = try BundleJournal.read(bytes, of: other) }
    }
}
