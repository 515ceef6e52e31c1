internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import ServiceLifecycle
internal import WaybillHTTP
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
            let start = try Self.number(last, "Last-Event-ID", max: .max)
            let stream = ReceiptStream(
                device: device, context: call.context, slot: call.slot, store: store,
                registry: registry, bell: bell, options: options)
            return try await stream.response(after: Int64(start ?? after))
        }
        let end = Deadline.after(.seconds(wait))
        let registration = bell.register(for: device.deviceID)
        // For a client that has left there is nothing to wait for.
        let peer =
            wait == 0
            ? nil : call.context.watchPeer { [weak registration] in registration?.ring() }
        while true {
            let batch = try await store.receipts(
                device.deviceID, after: Int64(after), limit: max(1, limit ?? Self.limitDefault),
                bytesMax: Self.pageBytesMax)
            let isOver =
                end.hasPassed || Task.isShuttingDownGracefully || Task.isCancelled
                || peer?.hasEnded == true
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
        _ text: String?, _ name: String, max: Int
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
