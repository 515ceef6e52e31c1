import Crypto
import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillStore

/// A migrated database with a tenant, its devices, and everything that settling takes.
struct SettlementFixture {
    let address: String
    let pool: PostgresPool
    let store: Store
    let rootKey: RootKey
    let signer: ReceiptSigner
    let bell: ReceiptBell
    let filter = ReceiptFilter()

    static func with(_ body: (SettlementFixture) async throws -> Void) async throws {
        try await TestServer.withDatabase { address in
            let rootKey = RootKey(bytes: Array(0..<32))
            let bell = ReceiptBell()
            let pool = try Store.makePool(connectionString: address, threads: 2)
            defer { pool.close() }
            let store = Store(pool: pool, rootKey: rootKey, bell: bell)
            let signer = try await store.signer()
            try await body(
                SettlementFixture(
                    address: address, pool: pool, store: store, rootKey: rootKey, signer: signer,
                    bell: bell))
        }
    }

    /// Enrols a device, with its tenant if that is new.
    func makeDevice(tenant name: String = "acme") async throws -> RegisteredDevice {
        let slug = try #require(TenantSlug(name))
        do {
            _ = try await store.createTenant(slug)
        } catch {
            // A second device of the tenant finds it there.
            guard case .alreadyExists = error else { throw error }
        }
        let invitation = try #require(try await store.invite(tenant: slug, count: 1).first)
        let request = EnrollmentRequest(code: invitation.code, name: "device", requestID: nil)
        return try await store.enroll(request).device
    }

    func makeSettler() -> Settler {
        Settler(
            connectionString: address, rootKey: rootKey, signer: signer, bell: bell,
            filter: filter, node: "test")
    }

    func bundle(
        of device: RegisteredDevice, id: BundleID = .random(), sequence: Int64? = nil,
        verdict: BundleToSettle.Verdict = .transactions
    ) -> BundleToSettle {
        let now = Timestamp.now
        return BundleToSettle(
            tenant: device.tenantID, deviceID: device.deviceID, bundleID: id,
            bundleDigest: Digest256.of(id.bytes), epoch: 1, deviceSequence: sequence,
            partByteCounts: [1000, 2000], transactionCount: 1, startedAt: now, receivedAt: now,
            leasedAt: now, openedAt: now, source: "127.0.0.1", attempt: 1, verdict: verdict)
    }

    func row(
        _ index: Int, id: TransactionID = .random(), bundle: Int = 0, content: String = "{}",
        hash: String? = nil, actor: String? = nil, contentType: String? = nil
    ) -> TransactionRow {
        let texts = ["visit.completed", content, "raw \(content)", actor ?? "", contentType ?? ""]
        let ends = texts.reduce(into: [Int32(0)]) { ends, text in
            ends.append(ends[ends.count - 1] + Int32(text.utf8.count))
        }
        return TransactionRow(
            bundle: bundle, index: index, id: id,
            occurredAt: Timestamp(microseconds: 1_700_000_000_000_000), offsetMinutes: 60,
            contentHash: Digest256.of(Array((hash ?? content).utf8)),
            texts: TransactionRow.Texts(
                bytes: texts.flatMap { Array($0.utf8) }, type: ends[0]..<ends[1],
                actor: actor.map { _ in ends[3]..<ends[4] },
                contentType: contentType.map { _ in ends[4]..<ends[5] },
                content: ends[1]..<ends[2], raw: ends[2]..<ends[3]))
    }

    /// Settles one bundle with these rows.
    func settle(
        _ bundle: BundleToSettle, _ rows: [TransactionRow], by settler: Settler
    ) throws -> SettledBundle {
        try #require(try settler.settle([bundle]) { try $0.insert(rows) }.first)
    }

    /// One number, read by the owner.
    func number(_ statement: PostgresStatement) throws -> Int {
        Int(try TestServer.connect(address).query(statement)[0].int8(0))
    }

    /// The device's receipts, verified, with their chain.
    func verifiedReceipts(of device: DeviceID) async throws -> [VerifiedReceipt] {
        let batch = try await store.receipts(device, after: 0, limit: 1000, bytesMax: 1 << 30)
        let key = try Curve25519.Signing.PublicKey(rawRepresentation: signer.publicKey)
        let receipts = try batch.documents.map { document in
            try VerifiedReceipt(
                try JSONValue.parse(document), keys: [signer.keyID: key])
        }
        try VerifiedReceipt.checkChain(receipts, after: (0, .zero))
        return receipts
    }
}

extension Settler {
    /// The open epochs of one device.
    func openEpochs(of device: DeviceID) throws -> [Int] {
        try #require(try openEpochs([device])[device])
    }
}
