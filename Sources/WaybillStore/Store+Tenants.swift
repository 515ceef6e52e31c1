internal import Crypto
package import WaybillModel
internal import WaybillPostgres

extension Store {
    /// - Throws: ``StoreError/alreadyExists``.
    package func createTenant(_ slug: TenantSlug) async throws(StoreError) -> TenantSummary {
        try await perform(as: .server) { connection in
            let made = try connection.query(StoreStatements.insertTenant, [.text(slug.text)])
            guard made.count == 1 else { throw StoreError.alreadyExists }
            return TenantSummary(name: slug, createdAt: try made[0].time(0), devices: 0)
        }
    }

    /// In the order of their names.
    package func tenants() async throws(StoreError) -> [TenantSummary] {
        try await perform(as: .server) { connection in
            try connection.query(StoreStatements.listTenants).rows.map { row in
                TenantSummary(
                    name: try row.slug(0), createdAt: try row.time(1), devices: Int(try row.int8(2))
                )
            }
        }
    }

    /// How many transactions of the tenant are stored; counts rows, so it takes time on large tables.
    ///
    /// - Throws: ``StoreError/notFound`` without that tenant.
    package func transactionCount(tenant: TenantSlug) async throws(StoreError) -> Int {
        let id = try await perform(as: .server) { connection in
            try Self.tenantID(of: tenant, over: connection)
        }
        return try await perform(as: .tenant(id), answerMax: .seconds(60)) { connection in
            let rows = try connection.query(
                StoreStatements.countTransactions, [.int4(id.number)]
            ).rows
            guard let row = rows.first else { return 0 }
            return Int(try row.int8(0))
        }
    }

    /// Makes one-time codes that live 24 hours; only their hashes are stored.
    ///
    /// - Parameter count: 1 to 1000.
    /// - Throws: ``StoreError/notFound`` without that tenant, ``StoreError/invalid(_:)``.
    package func invite(
        tenant: TenantSlug, count: Int
    ) async throws(StoreError) -> [Invitation] {
        guard (1...1000).contains(count) else { throw .invalid("count: 1 to 1000") }
        let codes = (0..<count).map { _ in InvitationCode.random() }
        let expiresAt = Timestamp.now.advanced(by: InvitationCode.lifetime)
        return try await perform(as: .server) { connection in
            let tenantID = try Self.tenantID(of: tenant, over: connection)
            try connection.query(
                StoreStatements.insertInvitations,
                [
                    .byteArrays(codes.map { InvitationCode.hash(of: $0).bytes }),
                    .int4(tenantID.number), .timestamp(expiresAt.microseconds),
                ])
            return codes.map { Invitation(code: $0, expiresAt: expiresAt) }
        }
    }

    static func tenantID(
        of slug: TenantSlug, over connection: PostgresConnection
    ) throws -> TenantID {
        let found = try connection.query(StoreStatements.findTenant, [.text(slug.text)])
        guard found.count == 1 else { throw StoreError.notFound }
        return TenantID(try found[0].int4(0))
    }
}

/// The one-time code of an invitation: 16 random bytes in base 32, 26 characters.
enum InvitationCode {
    static let lifetime: Duration = .seconds(24 * 3600)

    /// RFC 4648, section 6: no 0, 1, 8 or 9 to confuse with letters.
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")

    static func random() -> String {
        var bits: UInt128 = .random(in: 0...UInt128.max)
        var code = ""
        for _ in 0..<26 {
            code.append(alphabet[Int(bits & 31)])
            bits >>= 5
        }
        return code
    }

    /// People type codes: case, hyphens and spaces do not count.
    static func hash(of code: String) -> Digest256 {
        let plain = code.uppercased().filter { $0 != "-" && !$0.isWhitespace }
        return Digest256.of(Array(plain.utf8))
    }
}
