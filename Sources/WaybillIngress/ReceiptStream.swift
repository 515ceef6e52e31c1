internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import ServiceLifecycle
internal import WaybillHTTP
internal import WaybillModel
internal import WaybillStore
internal import WaybillThreads

/// One device's receipts as server-sent events: each once it is there, until the device or the server
/// has had enough.
///
/// Nothing is asked while nothing happens: the bell says when to look. One page is in memory at a
/// time, and the next one is read when the client has taken that. While the database is away the
/// stream stays and says comments.
struct ReceiptStream: Sendable {
    let device: RegisteredDevice
    let context: IngressContext
    /// Held for as long as the stream goes on.
    let slot: RequestSlot?
    let store: any ReceiptStore
    let registry: DeviceRegistry
    let bell: ReceiptBell
    let options: IngressOptions

    private static let pageLimit = 100
    private static let pageBytesMax = 256 << 10

    /// - Parameter after: the number before the first one to send.
    /// - Throws: ``StoreError`` when the first page cannot be read: 503, and no stream.
    func response(after: Int64) async throws -> Response {
        let registration = bell.register(for: device.deviceID)
        let peer = context.watchPeer { [weak registration] in registration?.ring() }
        let first = try await page(after: after)
        // Clients come back at different times after a restart of the server.
        let retry = Int.random(in: 1000...5000)
        return Response(
            status: .ok,
            headers: [
                .contentType: "text/event-stream", .cacheControl: "no-cache, no-transform",
                .accelBuffering: "no",
            ],
            body: ResponseBody { writer in
                try await send("retry: \(retry)\n\n", to: &writer)
                try await run(
                    first, after, Waiting(registration: registration, peer: peer), &writer)
                try await writer.finish(nil)
            })
    }

    @concurrent private func run(
        _ first: ReceiptBatch, _ after: Int64, _ waiting: Waiting,
        _ writer: inout any ResponseBodyWriter
    ) async throws {
        var last = after
        var page: ReceiptBatch? = first
        var backoff = Backoff(base: .seconds(1), ceiling: .seconds(10))
        var comment = Deadline.after(options.eventCommentInterval)
        while !isOver(waiting) {
            if let found = page, !found.documents.isEmpty {
                try await send(Self.events(found), to: &writer)
                last = found.sequences.last ?? last
                comment = .after(options.eventCommentInterval)
            }
            var pause: Duration?
            do {
                page = try await self.page(after: last)
                backoff.reset()
            } catch {
                page = nil
                pause = backoff.next()
            }
            while page?.documents.isEmpty != false, !isOver(waiting) {
                let timeout = min(pause ?? comment.remaining, comment.remaining)
                // A shutdown ends the wait, and so does a client that leaves; the loop sees it.
                let hasRung = await cancelWhenGracefulShutdown {
                    await waiting.registration.wait(timeout: timeout)
                }
                if comment.hasPassed, !isOver(waiting) {
                    try await send(": \n\n", to: &writer)
                    comment = .after(options.eventCommentInterval)
                }
                if hasRung || pause != nil { break }
            }
        }
    }

    /// What a stream waits with: for receipts, and for the client to leave.
    private struct Waiting: Sendable {
        let registration: ReceiptBell.Registration
        let peer: PeerWatch
    }

    private func isOver(_ waiting: Waiting) -> Bool {
        Task.isShuttingDownGracefully || Task.isCancelled || waiting.peer.hasEnded
            || !registry.isCurrent(device)
    }

    private func page(after: Int64) async throws(StoreError) -> ReceiptBatch {
        try await store.receipts(
            device.deviceID, after: after, limit: Self.pageLimit, bytesMax: Self.pageBytesMax)
    }

    /// The receipts as they were signed: canonical JSON has no line ends.
    private static func events(_ page: ReceiptBatch) -> String {
        zip(page.sequences, page.documents).map { sequence, document in
            "id: \(sequence)\nevent: receipt\ndata: \(document)\n\n"
        }.joined()
    }

    /// Writes, and waits until the client has taken most of it; one that takes less than the
    /// connection's minimum rate loses the connection.
    @concurrent private func send(
        _ text: String, to writer: inout any ResponseBodyWriter
    ) async throws {
        try await writer.write(ByteBuffer(string: text))
    }
}
