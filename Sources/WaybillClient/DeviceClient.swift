package import WaybillModel

/// The device side of a server (CONTRACT.md, "HTTP, device side").
package struct DeviceClient: Sendable {
    private let transport: Transport

    /// - Parameters:
    ///   - baseURL: as enrolment gave it, with `/v1`, or the server's address without it.
    ///   - token: nil for enrolment and keys.
    package init(baseURL: String, token: String?, session: ClientSession) {
        let address = baseURL.hasSuffix("/v1") ? String(baseURL.dropLast(3)) : baseURL
        transport = Transport(baseURL: address, token: token, session: session)
    }

    /// Becomes a device. The same code with the same request id may be sent again until the device's
    /// first authenticated call.
    package func enroll(
        code: String, name: String, requestID: RequestID?
    ) async throws(ClientError) -> EnrollmentAnswer {
        try await transport.value(
            .post("/v1/enrollments"),
            json: EnrollmentRequest(code: code, name: name, requestID: requestID))
    }

    package func device() async throws(ClientError) -> DeviceStatus {
        try await transport.value(.get("/v1/device"))
    }

    /// Sends a bundle of one part; on return the server has synced it.
    ///
    /// - Parameters:
    ///   - part: the sealed part; sent again, it must be the same bytes.
    ///   - epoch: of the secret that it was sealed with; nil lets the server try the open ones.
    package func upload(
        _ part: [UInt8], bundleID: BundleID, epoch: Int?
    ) async throws(ClientError) -> BundleStatus {
        var call = Call.post("/v1/bundles")
        call.headers = [
            ("Content-Type", "application/zip"), ("Idempotency-Key", "\"\(bundleID)\""),
        ]
        if let epoch { call.headers.append(("Waybill-Epoch", String(epoch))) }
        call.body = part
        call.timeout = .seconds(120)
        return try await transport.value(call)
    }

    package func bundle(_ id: BundleID) async throws(ClientError) -> BundleStatus {
        try await transport.value(.get("/v1/bundles/\(id)"))
    }

    /// Receipts with a number over `after`, oldest first.
    ///
    /// - Parameters:
    ///   - limit: at most 1000.
    ///   - wait: seconds to wait when there is none yet, at most 60.
    package func receipts(
        after: Int64, limit: Int = 100, wait: Int = 0
    ) async throws(ClientError) -> ReceiptPage {
        try await transport.value(
            .get(
                "/v1/receipts?after=\(after)&limit=\(limit)&wait=\(wait)",
                timeout: .seconds(30 + wait)))
    }

    /// Tells the server that this device holds all receipts up to a number.
    package func confirm(through: Int64) async throws(ClientError) {
        _ = try await transport.send(
            .post("/v1/receipts/confirm"), json: Confirmation(through: through))
    }

    /// The public keys of receipts; needs no token.
    package func keys() async throws(ClientError) -> ReceiptKeySet {
        try await transport.value(.get("/.well-known/waybill-keys.json"))
    }
}
