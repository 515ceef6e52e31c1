import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import WaybillModel
import WaybillThreads
import WaybillUpload

@testable import WaybillIngress

/// 50 requests a second over the limit: exact quota, `Retry-After`, others unaffected.
@Suite struct QuotaTests {
    private let start = Deadline(nanoseconds: 5_000_000_000)

    private func at(_ milliseconds: Int) -> Deadline {
        start.advanced(by: .milliseconds(milliseconds))
    }

    @Test func letsExactlyTheBurstAndTheRefillThrough() {
        let limiter = RateLimiter<Int>(Rate(perSecond: 50, burst: 200))
        let waits = (0..<1000).map { _ in limiter.take(of: 7, at: start) }
        #expect(waits.prefix(200).allSatisfy { $0 == nil })
        #expect(waits.dropFirst(200).allSatisfy { $0 == 1 })
        let later = (0..<100).map { _ in limiter.take(of: 7, at: at(1000)) }
        #expect(later.count { $0 == nil } == 50)
        #expect(limiter.take(of: 7, at: at(1019)) == 1)
        #expect(limiter.take(of: 7, at: at(1020)) == nil)
        #expect(limiter.take(of: 8, at: at(1020)) == nil)
    }

    @Test func aRefillNeverPassesTheBurst() {
        let limiter = RateLimiter<Int>(Rate(perSecond: 1_000_000, burst: 3))
        #expect((0..<4).map { _ in limiter.take(of: 1, at: start) } == [nil, nil, nil, 1])
        let farLater = Deadline(nanoseconds: .max - 1)
        #expect((0..<4).map { _ in limiter.take(of: 1, at: farLater) } == [nil, nil, nil, 1])
    }

    @Test func saysHowManyWholeSecondsToWait() {
        let limiter = RateLimiter<Int>(Rate(perSecond: 2, burst: 10))
        #expect(limiter.take(10, of: 1, at: start) == nil)
        #expect(limiter.take(1, of: 1, at: start) == 1)
        #expect(limiter.take(5, of: 1, at: start) == 3)
    }

    @Test func creditIsPaidBackBeforeTheNextOne() {
        let limiter = RateLimiter<Int>(Rate(perSecond: 10, burst: 20))
        #expect(limiter.takeOnCredit(120, of: 1, at: start) == nil)
        #expect(limiter.takeOnCredit(1, of: 1, at: start) == 11)
        #expect(limiter.takeOnCredit(1, of: 1, at: at(10_000)) == 1)
        #expect(limiter.takeOnCredit(1, of: 1, at: at(10_101)) == nil)
        limiter.charge(.max, to: 2, at: start)
        limiter.charge(.max, to: 2, at: start)
        #expect(limiter.takeOnCredit(1, of: 2, at: at(1000)) != nil)
    }

    @Test func forgetsWhoeverIsIdle() {
        let limiter = RateLimiter<Int>(Rate(perSecond: 50, burst: 200), keysMax: 100_000)
        for key in 0..<200_000 {
            _ = limiter.take(of: key, at: at(key / 100))
        }
        // A bucket is full again 20 ms after one request: 2 s of them were remembered at most, and
        // what lies below the first look.
        #expect(limiter.count <= 16 * 512)
    }

    @Test func holdsNoMoreThanItMay() {
        let limiter = RateLimiter<Int>(Rate(perSecond: 1, burst: 1), keysMax: 16_000)
        for key in 0..<100_000 { _ = limiter.take(of: key, at: start) }
        #expect(limiter.count <= 16_000)
    }

    @Test func aDeviceOverItsRateIs429AndOthersAreNot() async throws {
        let side = try DeviceSide { options in
            options.limits.requestsPerSecond = 1
            options.limits.requestsBurst = 5
        }
        side.registry.merge([try side.store.addDevice(token: "other")])
        try await side.run { client in
            var statuses: [Int] = []
            // The bucket fills while it is emptied: on a busy machine it takes more than six.
            while !statuses.contains(429), statuses.count < 1000 {
                let answer = try await client.execute(
                    uri: "/v1/receipts", method: .get, headers: DeviceSide.authorization)
                statuses.append(answer.status.code)
                guard answer.status.code == 429 else { continue }
                #expect(try answer.code() == "rate_limited")
                #expect(try answer.json()["retryable"] == .bool(true))
                #expect(answer.headers[.retryAfter] == "1")
            }
            #expect(statuses.prefix(5).allSatisfy { $0 == 200 })
            #expect(statuses.contains(429))
            let other = try await client.execute(
                uri: "/v1/receipts", method: .get, headers: [.authorization: "Bearer other"])
            #expect(other.status == .ok)
        }
    }

    /// What is announced is charged, but nobody pays for more than a part may have.
    @Test(arguments: [Int.max, Int.max - 1022, Int.max - 1023, 1 << 40])
    func anAnnouncedLengthOfAnySizeIsCountedUpToAPart(_ byteCount: Int) async throws {
        let side = try DeviceSide { options in
            options.limits.bytesPerSecond = 1 << 10
            options.limits.bytesBurst = 101 << 10
        }
        try await side.run { client in
            let port = try #require(client.port)
            // A part has 100,000 bytes at most: the second one is taken on what the first one left.
            for isCharged in [false, false, true] {
                let connection = try RawConnection(port: port)
                try connection.send(
                    "PUT /v1/bundles/\(BundleID.random())/parts/1 HTTP/1.1\r\nHost: localhost\r\n"
                        + "Authorization: Bearer \(DeviceSide.token)\r\n"
                        + "Content-Length: \(byteCount)\r\n\r\n")
                let answer = await connection.read(until: "}")
                #expect(answer.hasPrefix("HTTP/1.1 429") == isCharged)
                #expect(!answer.isEmpty)
            }
            let device = try await client.execute(
                uri: "/v1/device", method: .get, headers: DeviceSide.authorization)
            #expect(device.status == .ok)
        }
    }

    @Test func tooManyBadTokensAre429AndAValidOneIsNot() async throws {
        let side = try DeviceSide { $0.failureRate = Rate(perSecond: 1, burst: 3) }
        try await side.run { client in
            var codes: [String?] = []
            while !codes.contains("rate_limited"), codes.count < 1000 {
                let answer = try await client.execute(
                    uri: "/v1/device", method: .get,
                    headers: [.authorization: "Bearer guess\(codes.count)"])
                codes.append(try answer.code())
            }
            #expect(codes.prefix(3).allSatisfy { $0 == "unauthorized" })
            #expect(codes.contains("rate_limited"))
            let enrolment = try await client.execute(
                uri: "/v1/enrollments", method: .post,
                headers: [.contentType: "application/json"],
                body: ByteBuffer(string: #"{"code":"c","name":"n"}"#))
            #expect(["rate_limited", "code_invalid"].contains(try enrolment.code()))
            let known = try await client.execute(
                uri: "/v1/device", method: .get, headers: DeviceSide.authorization)
            #expect(known.status == .ok)
        }
    }

    @Test func aClosedIntakeRefusesBeforeTheBodyAndServesTheRest() async throws {
        let side = try DeviceSide()
        side.gate.setDraining(true)
        try await side.run { client in
            let upload = try await client.execute(
                uri: "/v1/bundles", method: .post,
                headers: try DeviceSide.uploadFields(.random()),
                body: ByteBuffer(bytes: try DeviceSide.part()))
            #expect(upload.status.code == 503)
            #expect(try upload.code() == "shutting_down")
            #expect(upload.headers[.retryAfter] != nil)
            let device = try await client.execute(
                uri: "/v1/device", method: .get, headers: DeviceSide.authorization)
            #expect(device.status == .ok)
        }
    }
}
