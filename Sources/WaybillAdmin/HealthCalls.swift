internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import WaybillModel
internal import WaybillQueue
internal import WaybillUpload

/// The calls without a token: for probes and for Prometheus.
struct HealthCalls: Sendable {
    let parts: AdminParts

    /// Of `/readyz`.
    private struct Readiness: Encodable {
        let ready: Bool
        /// Why bundles are not received.
        let reasons: [String]
        /// What does not keep bundles from being received.
        let warnings: [String]
    }

    /// The process answers.
    func live(_ request: Request, _ context: BasicRequestContext) -> Response {
        AdminAnswer.text("ok\n")
    }

    /// 200 once start-up is over.
    func started(_ request: Request, _ context: BasicRequestContext) -> Response {
        parts.isMigrated()
            ? AdminAnswer.text("ok\n")
            : AdminAnswer.text("the schema is not up to date yet\n", status: .serviceUnavailable)
    }

    /// Whether bundles are received. A database that is away is a warning only: bundles are received
    /// all the same and settled when it is back, so traffic must not be led elsewhere for it.
    func ready(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
        var reasons: [String] = []
        var warnings: [String] = []
        if !parts.queue.status.isHealthy {
            reasons.append("the queue's log failed; restart the server")
        }
        if let refusal = intakeRefusal() { reasons.append(refusal) }
        if !parts.isMigrated() { warnings.append("the schema is not up to date yet") }
        do {
            try await parts.operations.ping()
        } catch {
            warnings.append("the database does not answer; bundles wait in the queue")
        }
        if parts.listeners.status.target == 0 {
            warnings.append("no listeners: bundles wait in the queue")
        }
        return try AdminAnswer.json(
            Readiness(ready: reasons.isEmpty, reasons: reasons, warnings: warnings),
            status: reasons.isEmpty ? .ok : .serviceUnavailable)
    }

    /// Why the intake is closed; nil while it is open.
    private func intakeRefusal() -> String? {
        do {
            try parts.queueDesk.intake.check()
            return nil
        } catch {
            switch error {
            case .draining: return "draining: nothing new is taken until it is resumed"
            case .diskFull: return "the disk has less room than disk-free-floor"
            case .backlogFull: return "the backlog is over its ceiling"
            default: return "no bundles are taken: \(error.shortDescription)"
            }
        }
    }

    /// The description of both sides, the same as on the device side.
    func document(_ request: Request, _ context: BasicRequestContext) -> Response {
        let document = parts.document
        guard !document.isKnown(to: request.headers[.ifNoneMatch]) else {
            return Response(status: .notModified, headers: [.eTag: document.tag])
        }
        return Response(
            status: .ok, headers: [.eTag: document.tag, .contentType: document.mediaType],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: document.bytes)))
    }

    func metrics(_ request: Request, _ context: BasicRequestContext) -> Response {
        AdminAnswer.text(parts.renderMetrics(), type: "text/plain; version=0.0.4; charset=utf-8")
    }
}
