package import WaybillModel
internal import WaybillPostgres

extension Store {
    /// The tenant's invitations, newest first, at most 1000.
    ///
    /// - Throws: ``StoreError/notFound`` without that tenant.
    package func invitations(
        tenant: TenantSlug
    ) async throws(StoreError) -> [InvitationSummary] {
        try await perform(as: .server) { connection in
            let id = try Self.tenantID(of: tenant, over: connection)
            let rows = try connection.query(StoreStatements.listInvitations, [.int4(id.number)])
            return try rows.rows.map { row in
                let usedAt = try row.timeIfPresent(2)
                let isLate = try row.bool(5)
                return InvitationSummary(
                    createdAt: try row.time(0), expiresAt: try row.time(1),
                    state: usedAt != nil ? .used : isLate ? .expired : .open, usedAt: usedAt,
                    deviceID: try row.uuidIfPresent(3).map { DeviceID($0) },
                    rotates: try row.bool(4))
            }
        }
    }
}
