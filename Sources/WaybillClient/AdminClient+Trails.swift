package import WaybillModel

extension AdminClient {
    /// All that is known of a transaction, a bundle or a device.
    package func trace(_ id: TracedID) async throws(ClientError) -> TraceReport {
        try await transport.value(.get("/admin/v1/trace/\(id)"))
    }

    /// A page of the audit.
    ///
    /// - Parameter after: what the page before called newer; nil for the newest rows.
    package func audit(
        after: String? = nil, tenant: TenantSlug? = nil, kind: String? = nil, limit: Int
    ) async throws(ClientError) -> AuditPage {
        var query = "?limit=\(limit)"
        if let after { query += "&after=\(PercentEncoding.encode(after))" }
        if let tenant { query += "&tenant=\(tenant)" }
        if let kind { query += "&kind=\(PercentEncoding.encode(kind))" }
        return try await transport.value(.get("/admin/v1/audit" + query))
    }

    /// Walks along all chains; takes as long as it takes.
    package func verifyAudit() async throws(ClientError) -> AuditVerification {
        try await transport.value(
            .get("/admin/v1/audit/verify", timeout: .seconds(24 * 3600)))
    }
}
