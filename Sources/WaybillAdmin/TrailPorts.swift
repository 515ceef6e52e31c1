package import WaybillModel
package import WaybillQueue
package import WaybillStore

/// What the database knows of the past.
package protocol TrailStore: Sendable {
    func trace(_ id: TracedID) async throws(StoreError) -> [TraceFinding]
    /// Names and tenants of devices; those that there are not are missing.
    func deviceFindings(_ devices: [DeviceID]) async throws(StoreError) -> [DeviceID: TraceFinding]
    /// - Throws: ``StoreError/notFound`` without the tenant that the query names.
    func audit(_ query: AuditQuery) async throws(StoreError) -> AuditPage
    func makeWalk() -> any TrailWalk
}

/// A walk along all chains, page by page.
package protocol TrailWalk: Sendable {
    /// False once all is done.
    mutating func step() async throws(StoreError) -> Bool
    /// What was found so far.
    var result: AuditVerification { get }
}

extension AuditVerifier: TrailWalk {}

extension Store: TrailStore {
    package func makeWalk() -> any TrailWalk { AuditVerifier(store: self) }
}

/// Bundles in the queue, as a trace tells of them.
package protocol QueueTraces: Sendable {
    /// Bundles that are lost and were not sent again yet, oldest first.
    var lostBundles: [LostBundle] { get }
    /// - Throws: ``QueueError/io(errno:operation:)`` (retry).
    func traces(
        of id: TracedID, limit: Int
    ) throws(QueueError) -> (count: Int, first: [QueueTrace])
}

extension DiskQueue: QueueTraces {}

/// Where traces are looked for.
package struct TrailDesk: Sendable {
    package var store: any TrailStore
    package var queue: any QueueTraces

    package init(store: any TrailStore, queue: any QueueTraces) {
        self.store = store
        self.queue = queue
    }
}
