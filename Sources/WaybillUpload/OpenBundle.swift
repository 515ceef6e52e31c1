package import WaybillModel
internal import WaybillQueue

/// A declared bundle that is not in the queue yet, as it lies on disk.
package struct OpenBundle: Sendable {
    package let declaration: BundleDeclaration
    /// By part, in part order; nil for one that is not complete.
    private(set) var completed: [CompletedPart?]
    private(set) var completedCount = 0
    /// Bytes of the parts that are complete.
    private(set) var receivedByteCount = 0
    /// When it was declared or a part was complete, whichever is later.
    private(set) var progressedAt: Timestamp
    /// Bytes of its journal that are known to be good and synced.
    var journalByteCount = 0
    /// False after a write or sync of the journal failed: it is written anew then.
    var isJournalSound = true

    init(_ declaration: BundleDeclaration) {
        self.declaration = declaration
        completed = Array(repeating: nil, count: declaration.parts.count)
        progressedAt = declaration.declaredAt
    }

    package var key: BundleKey { declaration.key }

    /// All parts are on disk: it can go into the queue.
    package var isComplete: Bool { completedCount == completed.count }

    /// The part as declared; nil for a number that was not declared.
    func declared(_ number: Int) -> DeclaredPart? {
        declaration.parts.indices.contains(number - 1) ? declaration.parts[number - 1] : nil
    }

    /// The part as received; nil while it is not complete.
    func completed(_ number: Int) -> CompletedPart? {
        completed.indices.contains(number - 1) ? completed[number - 1] : nil
    }

    /// What it counts against its device: sizes told, and bytes received where none was told.
    var chargedByteCount: Int {
        zip(declaration.parts, completed).reduce(0) { sum, part in
            sum + (part.0.byteCount ?? part.1?.byteCount ?? 0)
        }
    }

    /// What its archives declare to inflate to, as far as they are here.
    var unzippedByteCount: Int {
        completed.reduce(0) { $0 + ($1?.unzippedByteCount ?? 0) }
    }

    /// Whether it is a bundle of one part that has this digest, as far as that is known.
    func mayBe(_ digest: Digest256) -> Bool {
        guard declaration.parts.count == 1 else { return false }
        return (completed(1)?.digest ?? declaration.parts[0].digest ?? digest) == digest
    }

    var fileNames: [String] { completed.compactMap { $0?.fileName } }

    mutating func add(_ part: CompletedPart) {
        guard completed.indices.contains(part.number - 1) else { return }
        remove(part.number)
        completed[part.number - 1] = part
        completedCount += 1
        receivedByteCount += part.byteCount
        progressedAt = max(progressedAt, part.completedAt)
    }

    /// Takes a part back: its file is not what the journal says.
    mutating func remove(_ number: Int) {
        guard let part = completed(number) else { return }
        completed[number - 1] = nil
        receivedByteCount -= part.byteCount
        completedCount -= 1
    }

    package var standing: BundleStanding {
        BundleStanding(
            state: .receiving, bundleDigest: declaration.bundleDigest,
            parts: zip(declaration.parts, completed).map { declared, completed in
                PartStanding(
                    byteCount: declared.byteCount ?? completed?.byteCount,
                    receivedByteCount: completed?.byteCount ?? 0, isComplete: completed != nil)
            }, receipt: nil)
    }

    /// What the queue is told; nil unless all parts are complete.
    func message(receivedAt: Timestamp) -> BundleMessage? {
        guard isComplete else { return nil }
        let parts = completed.compactMap { $0 }
        return BundleMessage(
            tenant: declaration.tenant, tenantSlug: declaration.tenantSlug,
            deviceID: declaration.deviceID, bundleID: declaration.bundleID,
            epoch: declaration.epoch, bundleDigest: .ofBundle(parts: parts.map(\.digest)),
            parts: parts.map {
                PartContent(
                    digest: $0.digest, byteCount: $0.byteCount, location: .file(name: $0.fileName))
            }, startedAt: declaration.declaredAt, receivedAt: receivedAt,
            source: declaration.source)
    }
}
