internal import Synchronization
internal import WaybillModel
internal import WaybillOpening
internal import WaybillStore

/// The tenants' content hashers, each made once: deriving its key costs more than hashing a bundle.
final class ContentHashers: Sendable {
    private let rootKey: RootKey
    private let known = Mutex<[TenantID: ContentHasher]>([:])

    private static let tenantsMax = 10_000

    init(rootKey: RootKey) {
        self.rootKey = rootKey
    }

    func hasher(of tenant: TenantID) -> ContentHasher {
        if let hasher = known.withLock({ $0[tenant] }) { return hasher }
        let hasher = ContentHasher(key: rootKey.contentKey(tenant: tenant))
        known.withLock { known in
            if known.count >= Self.tenantsMax { known = [:] }
            known[tenant] = hasher
        }
        return hasher
    }
}
