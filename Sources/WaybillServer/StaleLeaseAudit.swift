internal import Logging
internal import WaybillModel
internal import WaybillStore

/// Writes down when a listener came back after its lease had ended, and the queue refused what it
/// said.
///
/// Nothing is lost by it: what the listener committed is committed, and whoever got the bundles after
/// it finds their receipts.
struct StaleLeaseAudit: Sendable {
    private let store: Store
    private let node: String
    private let events: AsyncStream<[BundleKey]>
    private let continuation: AsyncStream<[BundleKey]>.Continuation
    private let logger = Logger(label: "waybill.server")

    /// Events that wait for the database; beyond it the oldest is dropped, and the log has it.
    private static let waitingMax = 1000
    /// Bundles that an event names.
    private static let namedMax = 16
    private static let retryInterval = Duration.seconds(5)

    init(store: Store, node: String) {
        self.store = store
        self.node = node
        (events, continuation) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingNewest(Self.waitingMax))
    }

    /// Does not block.
    func note(_ bundles: [BundleKey]) {
        continuation.yield(bundles)
    }

    /// Records what was noted, until it is cancelled.
    func run() async {
        for await bundles in events {
            let names = bundles.prefix(Self.namedMax).map(\.bundleID.description)
            let event = AuditEvent(
                kind: "lease.stale", actor: "listener", subject: names.first,
                details: [
                    "bundles": "\(bundles.count)", "bundle_ids": names.joined(separator: " "),
                ])
            await record(event)
        }
    }

    private func record(_ event: AuditEvent) async {
        while !Task.isCancelled {
            do {
                return try await store.record(event, node: node)
            } catch  where error.isRetryable {
                // Cancelled: the server ends, and the log has it.
                try? await Task.sleep(for: Self.retryInterval)
            } catch {
                logger.error(
                    "a stale lease cannot be written down", metadata: ["error": "\(error)"])
                return
            }
        }
    }
}
