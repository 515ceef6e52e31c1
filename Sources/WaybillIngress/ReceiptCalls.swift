internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import ServiceLifecycle
internal import WaybillModel
internal import WaybillStore
internal import WaybillThreads
internal import WaybillUpload

/// `GET /v1/receipts`, `POST /v1/receipts/confirm`, and the public keys.
struct ReceiptCalls: Sendable {
    let store: any ReceiptStore
    let registry: DeviceRegistry
    let bell: ReceiptBell
    let keyRing: ReceiptKeyRing
    let options: IngressOptions

    private static let limitDefault = 100
    private static let limitMax = 1000
    private static let waitMax = 60
    private static let pageBytesMax = 1 << 20

    /// Receipts after a number, oldest first; waits for the first one if the device asks for that, or
    /// goes on for as long as the device likes if it asks for events.
    func page(_ call: DeviceCall) async throws -> Response {
        let device = try call.device
        let after = try Self.number(call.query("after"), "after", max: .max) ?? 0
        let limit = try Self.number(call.query("limit"), "limit", max: Self.limitMax)
        let wait = try Self.number(call.query("wait"), "wait", max: Self.waitMax) ?? 0
        if AcceptField(call.request.headers).prefersEvents {
            // `limit` and `wait` are checked, and mean nothing for a stream.
            let last = call.request.headers[.lastEventID]
            let start = try Self.number(last.map { $0[...] }, "Last-Event-ID", max: .max)
            let stream = ReceiptStream(
                device: device, context: call.context, store: store, registry: registry,
                bell: bell, options: options)
            return try await stream.response(after: Int64(start ?? after))
        }
        let end = Deadline.after(.seconds(wait))
        let registration = bell.register(for: device.deviceID)
        while true {
            let batch = try await store.receipts(
                device.deviceID, after: Int64(after), limit: max(1, limit ?? Self.limitDefault),
                bytesMax: Self.pageBytesMax)
            let isOver = end.hasPassed || Task.isShuttingDownGracefully || Task.isCancelled
            if !batch.documents.isEmpty || isOver {
                return JSONAnswer.response(text: Self.text(batch))
            }
            // A shutdown ends the wait; the loop sees it.
            _ = await cancelWhenGracefulShutdown {
                await registration.wait(timeout: end.remaining)
            }
            guard registry.isCurrent(device) else { throw DeviceAuthenticator.refusal }
        }
    }

    /// Notes that the device holds all receipts up to a number.
    func confirm(_ call: DeviceCall) async throws -> Response {
        let device = try call.device
        let confirmation = try await JSONBody.decode(Confirmation.self, of: call)
        guard confirmation.through >= 0 else {
            throw Problem(.invalidRequest, "`through` is not below 0.")
        }
        try await store.confirm(device.deviceID, through: confirmation.through)
        return Response(status: .noContent)
    }

    /// The keys that receipts are verified with; no token is asked for.
    func keys(_ call: DeviceCall) async throws -> Response {
        JSONAnswer.response(
            text: try await keyRing.text(), headers: [.cacheControl: "public, max-age=300"])
    }

    /// The stored texts, joined: what was signed is what is served.
    static func text(_ batch: ReceiptBatch) -> String {
        #"{"receipts":["# + batch.documents.joined(separator: ",")
            + #"],"last":\#(batch.last),"safe_through":\#(batch.safeThrough)}"#
    }

    /// A whole number, clamped to `max`; nil when it is not given.
    ///
    /// - Throws: 400 for anything but digits, a negative number included.
    private static func number(
        _ text: Substring?, _ name: String, max: Int
    ) throws(Problem) -> Int? {
        guard let text else { return nil }
        let isNumber =
            !text.isEmpty
            && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard isNumber else {
            throw Problem(.invalidRequest, "`\(name)` is a whole number from 0 on.")
        }
        // Digits that do not fit an integer are over every maximum.
        return min(Int(text) ?? .max, max)
    }
}

/// Bodies of JSON.
enum JSONBody {
    static let bytesMax = 64 << 10

    /// - Throws: 415 for another media type, 413 for a large body, 422 for a digest that does not
    ///   match, 400 for what is not such a value.
    static func decode<Value: Decodable>(
        _ type: Value.Type, of call: DeviceCall, bytesMax: Int = bytesMax
    ) async throws -> Value {
        guard UploadFields.mediaType(call.request.headers) == "application/json" else {
            throw Problem(.unsupportedMediaType, "The body is sent as application/json.")
        }
        let digests = try DigestField.expectations(in: call.request.headers)
        let buffer = try await call.context.body(of: call.request, bytesMax: bytesMax)
        let body = Array(buffer.readableBytesView)
        if let wrong = digests.first(where: { !$0.matches(body) }) {
            throw UploadError.digestMismatch(wrong.algorithm)
        }
        do {
            return try JSONDecoder().decode(type, from: Data(body))
        } catch let error as DecodingError {
            throw Problem(.invalidRequest, "The body is not valid: \(explanation(error)).")
        }
    }

    /// Names the member at fault, never its value.
    private static func explanation(_ error: DecodingError) -> String {
        func path(_ context: DecodingError.Context) -> String {
            context.codingPath.map(\.stringValue).joined(separator: ".")
        }
        switch error {
        case .keyNotFound(let key, _): return "member `\(key.stringValue)` is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "member `\(path(context))` has the wrong type"
        case .dataCorrupted(let context):
            let member = path(context)
            return member.isEmpty
                ? "it is not JSON" : "member `\(member)`: \(context.debugDescription)"
        @unknown default: return "it does not have the form expected"
        }
    }
}
