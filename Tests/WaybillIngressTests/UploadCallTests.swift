import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import WaybillModel
import WaybillQueue
import WaybillStore

@Suite struct UploadCallTests {
    @Test func receivesABundleAndAnswersARepetitionAlike() async throws {
        let side = try DeviceSide()
        let id = BundleID.random()
        let bytes = try DeviceSide.part()
        let fields = try DeviceSide.uploadFields(id, [try name("Waybill-Epoch"): "1"])
        try await side.run { client in
            for _ in 0..<2 {
                let answer = try await client.execute(
                    uri: "/v1/bundles", method: .post, headers: fields,
                    body: ByteBuffer(bytes: bytes))
                #expect(answer.status == .accepted)
                let location = try #require(answer.headers[.location])
                #expect(location.hasPrefix("http://localhost"))
                #expect(location.hasSuffix("/v1/bundles/\(id)"))
                let status = try answer.json()
                #expect(status["bundle_id"]?.text == id.description)
                #expect(status["state"]?.text == "queued")
                #expect(status["receipt"] == .null)
                #expect(answer.text.contains(#""complete":true,"upload":null}]"#))
            }
            let other = try await client.execute(
                uri: "/v1/bundles", method: .post, headers: fields,
                body: ByteBuffer(bytes: try DeviceSide.part("y")))
            #expect(try other.code() == "idempotency_conflict")
            let status = try await client.execute(
                uri: "/v1/bundles/\(id)", method: .get, headers: DeviceSide.authorization)
            #expect(try status.json()["state"]?.text == "queued")
        }
        let message = try #require(side.queue.messages.first)
        #expect(side.queue.messages.count == 1)
        #expect(message.deviceID == side.device.deviceID)
        #expect(message.epoch == 1)
        #expect(message.parts.first?.location == .inline(bytes))
    }

    @Test func answersASettledBundleWithTheReceiptAsSigned() async throws {
        let side = try DeviceSide()
        let id = BundleID.random()
        let bytes = try DeviceSide.part()
        let document = #"{"seq":1,"b":1.50,"a":"\u00e4"}"#
        side.store.addReceipt(
            document, of: side.device.deviceID, bundle: id, parts: [.of(bytes)])
        try await side.run { client in
            let status = try await client.execute(
                uri: "/v1/bundles/\(id)", method: .get, headers: DeviceSide.authorization)
            #expect(status.text.hasSuffix(#","receipt":"# + document + "}"))
            side.store.setAway(true)
            let away = try await client.execute(
                uri: "/v1/bundles/\(id)", method: .get, headers: DeviceSide.authorization)
            #expect(try away.code() == "database_unavailable")
            #expect(away.headers[.retryAfter] != nil)
            let sent = try await client.execute(
                uri: "/v1/bundles", method: .post, headers: try DeviceSide.uploadFields(id),
                body: ByteBuffer(bytes: bytes))
            #expect(sent.status == .accepted)
        }
    }

    @Test func refusesWhatTheHeaderGetsWrong() async throws {
        let side = try DeviceSide()
        let id = BundleID.random()
        let key = try name("Idempotency-Key")
        let digest = try name("Content-Digest")
        let cases: [(HTTPFields, String)] = [
            ([.contentType: "text/plain"], "unsupported_media_type"),
            ([.contentEncoding: "gzip"], "unsupported_media_type"),
            ([key: ""], "idempotency_key_missing"),
            ([key: "\"nonsense\""], "invalid_request"),
            ([try name("Waybill-Epoch"): "0"], "invalid_request"),
            ([try name("Waybill-Epoch"): "+1"], "invalid_request"),
            ([digest: "sha-256"], "invalid_request"),
            ([digest: "sha-256=:AAAA:"], "invalid_request"),
            (
                [digest: "sha-256=:\(Data(Digest256.zero.bytes).base64EncodedString()):"],
                "digest_mismatch"
            ),
        ]
        try await side.run { client in
            for (fields, code) in cases {
                let answer = try await client.execute(
                    uri: "/v1/bundles", method: .post,
                    headers: try DeviceSide.uploadFields(id, fields),
                    body: ByteBuffer(bytes: try DeviceSide.part()))
                #expect(try answer.code() == code, "\(fields)")
            }
        }
        #expect(side.queue.messages.isEmpty)
    }

    @Test func takesDigestsOfBothFieldsAndKeysWithoutQuotes() async throws {
        let side = try DeviceSide()
        let id = BundleID.random()
        let bytes = try DeviceSide.part()
        let digest =
            "sha-256=:\(Data(Digest256.of(bytes).bytes).base64EncodedString()):, md5=:AA==:"
        try await side.run { client in
            let answer = try await client.execute(
                uri: "/v1/bundles", method: .post,
                headers: try DeviceSide.uploadFields(
                    id,
                    [
                        try name("Idempotency-Key"): id.description.uppercased(),
                        try name("Content-Digest"): digest, try name("Repr-Digest"): digest,
                    ]), body: ByteBuffer(bytes: bytes))
            #expect(answer.status == .accepted)
        }
    }

    @Test func refusesArchivesWithTheRuleAndTheByte() async throws {
        let side = try DeviceSide()
        try await side.run { client in
            let empty = try await client.execute(
                uri: "/v1/bundles", method: .post,
                headers: try DeviceSide.uploadFields(.random()), body: ByteBuffer())
            #expect(empty.status == .unprocessableContent)
            #expect(try empty.code() == "archive_empty")
            let surplus = try await client.execute(
                uri: "/v1/bundles", method: .post,
                headers: try DeviceSide.uploadFields(.random()),
                body: ByteBuffer(bytes: [0] + (try DeviceSide.part(byteCount: 9000))))
            #expect(try surplus.code()?.hasPrefix("archive_") == true)
            #expect(surplus.text.contains("byte"))
        }
        #expect(side.queue.messages.isEmpty)
    }

    @Test func refusesOneByteOverTheLimitBeforeReadingIt() async throws {
        let limit = try DeviceSide.part(byteCount: 9000).count
        let side = try DeviceSide(partBytesMax: limit)
        try await side.run { client in
            for (byteCount, code) in [(8999, nil), (9000, nil), (9001, "too_large")] {
                let answer = try await client.execute(
                    uri: "/v1/bundles", method: .post,
                    headers: try DeviceSide.uploadFields(.random()),
                    body: ByteBuffer(bytes: try DeviceSide.part(byteCount: byteCount)))
                #expect(try answer.code() == code)
                #expect(answer.status == (code == nil ? .accepted : .contentTooLarge))
            }
            #expect(try side.fileNames().count == 2)
        }
    }

    @Test(arguments: [
        (QueueError.diskFull, 507, "disk_full"), (.unhealthy, 503, "shutting_down"),
        (.closed, 503, "shutting_down"),
    ])
    func neverSaysReceivedWhenTheQueueFails(
        failure: QueueError, status: Int, code: String
    ) async throws {
        let side = try DeviceSide()
        side.queue.fail(with: failure)
        try await side.run { client in
            let answer = try await client.execute(
                uri: "/v1/bundles", method: .post,
                headers: try DeviceSide.uploadFields(.random()),
                body: ByteBuffer(bytes: try DeviceSide.part()))
            #expect(answer.status.code == status)
            #expect(try answer.code() == code)
            #expect(answer.headers[.retryAfter] != nil)
        }
    }
}
