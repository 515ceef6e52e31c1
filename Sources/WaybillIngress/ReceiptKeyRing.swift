internal import Foundation
internal import Synchronization
internal import WaybillModel
internal import WaybillStore

/// The public keys of receipts as they are served: kept in memory, so that they outlive outages.
package final class ReceiptKeyRing: Sendable {
    private let store: any ReceiptStore
    private let document = Mutex<String?>(nil)

    package init(store: any ReceiptStore) {
        self.store = store
    }

    /// The JSON text, from memory once it was read.
    func text() async throws -> String {
        if let known = document.withLock({ $0 }) { return known }
        return try await refresh()
    }

    /// Reads the keys again.
    @discardableResult package func refresh() async throws -> String {
        let keys = try await store.receiptKeys()
        let text = String(
            decoding: try JSONAnswer.encoder.encode(ReceiptKeySet(keys: keys)), as: UTF8.self)
        // Without a key there is nothing to remember yet.
        if !keys.isEmpty { document.withLock { $0 = text } }
        return text
    }
}
