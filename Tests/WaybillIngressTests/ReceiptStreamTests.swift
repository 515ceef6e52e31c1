import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import WaybillHTTP
import WaybillModel
import WaybillStore

@testable import WaybillIngress

/// "`GET /receipts` with `Accept: text/event-stream`": the same as server-sent events.
@Suite struct ReceiptStreamTests {
    private func add(_ numbers: ClosedRange<Int>, to side: DeviceSide) {
        for number in numbers {
            side.store.addReceipt(
                #"{"seq":\#(number)}"#, of: side.device.deviceID, bundle: .random(), parts: [.zero])
        }
        side.bell.ring([side.device.deviceID])
    }

    private func event(_ number: Int) -> String {
        "id: \(number)\nevent: receipt\ndata: {\"seq\":\(number)}\n\n"
    }

    /// Opens a stream; it ends when the device is revoked.
    private func stream(
        _ client: any TestClientProtocol, _ query: String = "", _ more: HTTPFields = [:]
    ) async throws -> TestResponse {
        var fields = DeviceSide.authorization
        fields[.accept] = "text/event-stream"
        for field in more { fields[field.name] = field.value }
        return try await client.execute(
            uri: "/v1/receipts\(query)", method: .get, headers: fields)
    }

    /// Waits until somebody waits for the device's receipts.
    private func untilAwaited(_ side: DeviceSide) async throws {
        while side.bell.awaitedDevices.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
    }

    @Test func sendsEachReceiptAsAnEventAndEndsWhenTheDeviceIsRevoked() async throws {
        let side = try DeviceSide()
        add(1...2, to: side)
        try await side.run { client in
            async let answer = stream(client)
            try await untilAwaited(side)
            add(3...3, to: side)
            while side.store.readThrough < 3 { try await Task.sleep(for: .milliseconds(1)) }
            side.registry.revoke(side.device.deviceID)
            let whole = try await answer
            #expect(whole.status == .ok)
            #expect(whole.headers[.contentType] == "text/event-stream")
            #expect(whole.headers[.cacheControl] == "no-cache, no-transform")
            #expect(whole.headers[.accelBuffering] == "no")
            let text = whole.text
            #expect(text.hasPrefix("retry: "))
            for number in 1...3 { #expect(text.contains(event(number))) }
            #expect(text.ranges(of: "event: receipt").count == 3)
            // The next request is 401.
            #expect(try await stream(client).code() == "unauthorized")
        }
    }

    @Test func lastEventIDBeatsAfter() async throws {
        let side = try DeviceSide()
        add(1...5, to: side)
        try await side.run { client in
            async let answer = stream(client, "?after=1&limit=1&wait=0", [.lastEventID: "3"])
            while side.store.readThrough < 5 { try await Task.sleep(for: .milliseconds(1)) }
            side.registry.revoke(side.device.deviceID)
            let text = try await answer.text
            #expect(!text.contains("id: 3\n"))
            #expect(text.contains(event(4) + event(5)))
        }
    }

    @Test(arguments: ["-1", "x", "1.5", " "])
    func anInvalidLastEventIDIs400(_ value: String) async throws {
        let side = try DeviceSide()
        try await side.run { client in
            let answer = try await stream(client, "", [.lastEventID: value])
            #expect(try answer.code() == "invalid_request")
        }
    }

    /// `limit` and `wait` are checked as ever.
    @Test(arguments: ["?after=-1", "?limit=-1", "?wait=x"])
    func invalidValuesAre400OnAStreamToo(_ query: String) async throws {
        let side = try DeviceSide()
        try await side.run { client in
            let answer = try await stream(client, query)
            #expect(try answer.code() == "invalid_request")
        }
    }

    @Test func saysACommentNowAndThen() async throws {
        let side = try DeviceSide()
        try await side.run { client in
            let connection = try RawConnection(port: try #require(client.port))
            try connection.send(
                """
                GET /v1/receipts HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\
                Authorization: Bearer \(DeviceSide.token)\r\n\r\n
                """)
            let text = await connection.read(until: ": \n\n")
            #expect(text.contains("retry: "))
            #expect(text.contains(": \n\n"))
        }
    }

    /// No query of its own while nothing happens, whatever the number of comments.
    @Test func anIdleStreamAsksNothing() async throws {
        let side = try DeviceSide()
        try await side.run { client in
            async let answer = stream(client)
            try await untilAwaited(side)
            let end = ContinuousClock.now + .milliseconds(300)
            while ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(1)) }
            #expect(side.store.pageCount <= 2)
            side.registry.revoke(side.device.deviceID)
            _ = try await answer
        }
    }

    @Test func livesThroughAnAbsenceOfTheDatabase() async throws {
        let side = try DeviceSide()
        add(1...1, to: side)
        try await side.run { client in
            async let answer = stream(client)
            while side.store.readThrough < 1 { try await Task.sleep(for: .milliseconds(1)) }
            side.store.setAway(true)
            side.bell.ring([side.device.deviceID])
            while side.store.refusals == 0 { try await Task.sleep(for: .milliseconds(1)) }
            side.store.setAway(false)
            add(2...2, to: side)
            while side.store.readThrough < 2 { try await Task.sleep(for: .milliseconds(1)) }
            side.registry.revoke(side.device.deviceID)
            let text = try await answer.text
            #expect(text.contains(event(1)))
            #expect(text.contains(event(2)))
        }
    }

    /// "receipts: 503 `database_unavailable`", also as events.
    @Test func noStreamBeginsWithoutTheDatabase() async throws {
        let side = try DeviceSide()
        side.store.setAway(true)
        try await side.run { client in
            let answer = try await stream(client)
            #expect(try answer.code() == "database_unavailable")
            #expect(answer.headers[.retryAfter] == "5")
        }
    }

    @Test(arguments: [
        ("text/event-stream", true), ("TEXT/Event-Stream", true), ("text/*", true),
        ("text/event-stream, */*", true), ("text/event-stream;q=0.9, */*;q=0.1", true),
        ("application/json;q=0.5, text/event-stream", true),
        ("text/event-stream, application/json", true),
        ("application/json, text/event-stream", false), ("*/*", false), ("", false),
        ("text/event-stream;q=0", false), ("text/event-stream;q=0, */*", false),
        ("application/json, text/event-stream;q=0.5", false), ("text/html", false),
        ("text/event-stream;q=x, application/json", false),
        ("text/event-stream; charset=utf-8; q=1.0", true),
    ])
    func acceptIsReadWithItsWeights(_ value: String, _ wantsEvents: Bool) throws {
        var fields = HTTPFields()
        fields[.accept] = value
        #expect(AcceptField(fields).prefersEvents == wantsEvents)
    }

    @Test func withoutAcceptItIsOneAnswer() throws {
        #expect(!AcceptField([:]).prefersEvents)
    }

    private static let longDocument = String(repeating: "x", count: 8 << 20)

    private func ask(
        _ side: DeviceSide, _ query: String = "", accepting type: String
    ) -> String {
        "GET /v1/receipts\(query) HTTP/1.1\r\nHost: localhost\r\nAccept: \(type)\r\n"
            + "Authorization: Bearer \(DeviceSide.token)\r\n\r\n"
    }

    private func askOnce(_ side: DeviceSide, accepting type: String) -> String {
        ask(side, accepting: type).replacing("\r\n\r\n", with: "\r\nConnection: close\r\n\r\n")
    }

    @Test func aReaderOfAStreamWhoTakesNothingLosesTheConnection() async throws {
        let side = try DeviceSide { $0.connection.rateWindow = .milliseconds(50) }
        side.store.addReceipt(
            Self.longDocument, of: side.device.deviceID, bundle: .random(), parts: [.zero])
        try await side.run { client in
            let connection = try RawConnection(
                port: try #require(client.port), receiveBytes: 4096)
            try connection.send(ask(side, accepting: "text/event-stream"))
            try await untilAwaited(side)
            // The stream lets go of the bell when its connection is gone.
            while !side.bell.awaitedDevices.isEmpty {
                try await Task.sleep(for: .milliseconds(1))
            }
            let text = await connection.read()
            #expect(text.utf8.count < Self.longDocument.utf8.count)
        }
    }

    /// An event longer than any window is no reason to end a stream: only the rate counts.
    @Test func aReaderOfAStreamWhoGoesOnGetsALongEvent() async throws {
        let side = try DeviceSide {
            $0.connection.rateWindow = .milliseconds(20)
            $0.connection.bytesPerSecondMin = 0
        }
        side.store.addReceipt(
            Self.longDocument, of: side.device.deviceID, bundle: .random(), parts: [.zero])
        try await side.run { client in
            let connection = try RawConnection(port: try #require(client.port))
            try connection.send(askOnce(side, accepting: "text/event-stream"))
            try await untilAwaited(side)
            try await pass(.milliseconds(200))
            async let text = connection.read()
            while side.store.readThrough < 1 { try await Task.sleep(for: .milliseconds(1)) }
            side.registry.revoke(side.device.deviceID)
            #expect(await text.utf8.count > Self.longDocument.utf8.count)
        }
    }

    /// Between two requests is only who has the answer to the first.
    @Test func theIdleTimeoutCutsNoAnswerOff() async throws {
        let side = try DeviceSide {
            $0.connection.idleTimeout = .milliseconds(20)
            // How often the connection is looked at while it is read from.
            $0.connection.rateWindow = .milliseconds(20)
            $0.connection.bytesPerSecondMin = 0
        }
        side.store.addReceipt(
            Self.longDocument, of: side.device.deviceID, bundle: .random(), parts: [.zero])
        try await side.run { client in
            let connection = try RawConnection(port: try #require(client.port))
            try connection.send(ask(side, accepting: "application/json"))
            while side.store.pageCount == 0 { try await Task.sleep(for: .milliseconds(1)) }
            try await pass(.milliseconds(300))
            let text = await connection.read()
            #expect(text.utf8.count > Self.longDocument.utf8.count)
            #expect(text.hasSuffix(#""safe_through":1}"#))
        }
    }

    /// A client that sends nothing more gets what is there; nobody waits for more on its behalf.
    @Test(arguments: [
        ("application/json", #""safe_through":0}"#), ("text/event-stream", "\r\n0\r\n\r\n"),
    ])
    func whoEndsItsSideIsAnsweredAtOnce(_ type: String, _ end: String) async throws {
        let side = try DeviceSide { $0.eventCommentInterval = .seconds(60) }
        try await side.run { client in
            let connection = try RawConnection(port: try #require(client.port))
            try connection.send(ask(side, "?wait=60", accepting: type))
            try await untilAwaited(side)
            connection.endSending()
            let text = await connection.read()
            #expect(text.hasPrefix("HTTP/1.1 200"))
            #expect(text.hasSuffix(end))
        }
    }

    @Test(arguments: ["application/json", "text/event-stream"])
    func nobodyWaitsForAClientThatIsGone(_ type: String) async throws {
        let side = try DeviceSide { $0.eventCommentInterval = .seconds(60) }
        try await side.run { client in
            let began = ContinuousClock.now
            do {
                let connection = try RawConnection(port: try #require(client.port))
                try connection.send(ask(side, "?wait=60", accepting: type))
                try await untilAwaited(side)
                connection.resetAtEnd()
            }
            while !side.bell.awaitedDevices.isEmpty {
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(ContinuousClock.now - began < .seconds(50), "it was waited for")
        }
    }

    /// Nobody holds all connections: n requests in progress, and not one more.
    @Test func aDeviceHasNoMoreRequestsInProgressThanItMay() async throws {
        let side = try DeviceSide { $0.requestsInProgressMax = 3 }
        side.registry.merge([try side.store.addDevice(token: "other")])
        try await side.run { client in
            let port = try #require(client.port)
            var held: [RawConnection] = []
            let poll = try RawConnection(port: port)
            try poll.send(ask(side, "?wait=60", accepting: "application/json"))
            held.append(poll)
            try await untilAwaited(side)
            for _ in 0..<2 {
                let connection = try RawConnection(port: port)
                try connection.send(ask(side, "", accepting: "text/event-stream"))
                held.append(connection)
                #expect(await connection.read(until: "retry: ").contains("200 OK"))
            }
            let refused = try await client.execute(
                uri: "/v1/device", method: .get, headers: DeviceSide.authorization)
            #expect(try refused.code() == "rate_limited")
            #expect(refused.headers[.retryAfter] == "5")
            let other = try await client.execute(
                uri: "/v1/device", method: .get, headers: [.authorization: "Bearer other"])
            #expect(other.status == .ok)
            // A place is free again with the end of any of them.
            while !held.isEmpty {
                held.removeLast()
                var status = HTTPResponse.Status.tooManyRequests
                while status == .tooManyRequests {
                    status = try await client.execute(
                        uri: "/v1/device", method: .get, headers: DeviceSide.authorization
                    ).status
                    try await Task.sleep(for: .milliseconds(20))
                }
                #expect(status == .ok)
            }
        }
    }

    /// Lets time pass that the server measures.
    private func pass(_ duration: Duration) async throws {
        let end = ContinuousClock.now + duration
        while ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(1)) }
    }

    @Test func aLongPollEndsWith401WhenTheDeviceIsRevoked() async throws {
        let side = try DeviceSide()
        try await side.run { client in
            async let answer = client.execute(
                uri: "/v1/receipts?wait=60", method: .get, headers: DeviceSide.authorization)
            try await untilAwaited(side)
            side.registry.revoke(side.device.deviceID)
            let ended = try await answer
            #expect(try ended.code() == "unauthorized")
        }
    }
}
