import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import WaybillModel
import WaybillQueue
import WaybillUpload

/// Bundles of many parts over HTTP, as CONTRACT.md describes the calls.
@Suite struct PartCallTests {
    private let bodies: [[UInt8]]

    init() throws {
        bodies = try [DeviceSide.part("a", byteCount: 100), DeviceSide.part("b", byteCount: 9000)]
    }

    private static func declaration(
        _ id: BundleID, _ parts: [[UInt8]], epoch: Int? = 1
    ) throws -> ByteBuffer {
        let request = DeclarationRequest(
            bundleID: id, epoch: epoch,
            parts: parts.map { .init(size: $0.count, sha256: Digest256.of($0).description) })
        return ByteBuffer(bytes: try JSONEncoder().encode(request))
    }

    private static var jsonFields: HTTPFields {
        var fields = DeviceSide.authorization
        fields[.contentType] = "application/json"
        return fields
    }

    private func declare(
        _ client: any TestClientProtocol, _ id: BundleID, _ parts: [[UInt8]]
    ) async throws -> TestResponse {
        try await client.execute(
            uri: "/v1/bundles", method: .post, headers: Self.jsonFields,
            body: try Self.declaration(id, parts))
    }

    private func put(
        _ client: any TestClientProtocol, _ id: BundleID, _ number: String, _ body: [UInt8],
        _ more: HTTPFields = [:]
    ) async throws -> TestResponse {
        var fields = DeviceSide.authorization
        for field in more { fields[field.name] = field.value }
        return try await client.execute(
            uri: "/v1/bundles/\(id)/parts/\(number)", method: .put, headers: fields,
            body: ByteBuffer(bytes: body))
    }

    /// Runs `body` with the device side and everything that answers behind it.
    private func run(
        _ side: DeviceSide,
        _ body: @Sendable @escaping (any TestClientProtocol) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await side.previous.run() }
            while !side.previous.isRunning { try await Task.sleep(for: .milliseconds(1)) }
            try await side.run(body)
            group.cancelAll()
        }
    }

    @Test func declaresReceivesAndQueuesABundleOfManyParts() async throws {
        let side = try DeviceSide()
        let id = BundleID.random()
        try await run(side) { client in
            let declared = try await declare(client, id, bodies)
            #expect(declared.status == .created)
            let location = try #require(declared.headers[.location])
            #expect(location.hasPrefix("http://") && location.hasSuffix("/v1/bundles/\(id)"))
            let status = try declared.json()
            #expect(status["state"]?.text == "receiving")
            #expect(
                declared.text.contains(
                    #"{"part":2,"size":\#(bodies[1].count),"received":0,"complete":false,"upload":"\#(location)/parts/2"}"#
                ))
            let second = try await put(client, id, "2", bodies[1])
            #expect(second.status == .created)
            #expect(second.headers[.location] == location + "/parts/2")
            #expect(
                second.text.contains(
                    #""received":\#(bodies[1].count),"complete":true,"upload":null"#))
            let list = try await client.execute(
                uri: "/v1/bundles?state=receiving", method: .get, headers: DeviceSide.authorization)
            #expect(list.text == #"{"bundles":["# + second.text + "]}")
            let first = try await put(client, id, "1", bodies[0])
            #expect(first.status == .created)
            #expect(try first.json()["state"]?.text == "queued")
            let again = try await declare(client, id, bodies)
            #expect(again.status == .ok)
            #expect(try again.json()["state"]?.text == "queued")
        }
        #expect(side.queue.messages.first?.parts.count == 2)
        #expect(side.queue.messages.first?.epoch == 1)
    }

    @Test func answersStatusAndListFromThisServerWithTheDatabaseAway() async throws {
        let side = try DeviceSide()
        let id = BundleID.random()
        try await run(side) { client in
            side.store.setAway(true)
            #expect(try await declare(client, id, bodies).status == .created)
            #expect(try await put(client, id, "1", bodies[0]).status == .created)
            for path in ["/v1/bundles/\(id)", "/v1/bundles?state=receiving"] {
                let answer = try await client.execute(
                    uri: path, method: .get, headers: DeviceSide.authorization)
                #expect(answer.status == .ok)
            }
            let unknown = try await put(client, .random(), "1", bodies[0])
            #expect(try unknown.code() == "database_unavailable")
            #expect(unknown.headers[.retryAfter] != nil)
            #expect(try await put(client, id, "2", bodies[1]).status == .created)
        }
        #expect(side.queue.messages.count == 1)
    }

    @Test(arguments: ["0", "3", "1001", "01", "+1", "-1", "x", "18446744073709551617", "%2B1"])
    func aPartThatWasNotDeclaredIs404(number: String) async throws {
        let side = try DeviceSide()
        let id = BundleID.random()
        try await run(side) { client in
            _ = try await declare(client, id, bodies)
            #expect(try await put(client, id, number, bodies[0]).code() == "not_found")
            #expect(try await put(client, .random(), number, bodies[0]).code() == "not_found")
        }
    }

    @Test func giveUpAnswersByState() async throws {
        let side = try DeviceSide()
        let id = BundleID.random()
        try await run(side) { client in
            func delete() async throws -> TestResponse {
                try await client.execute(
                    uri: "/v1/bundles/\(id)", method: .delete, headers: DeviceSide.authorization)
            }
            #expect(try await delete().code() == "not_found")
            _ = try await declare(client, id, bodies)
            let given = try await delete()
            #expect(given.status == .noContent && given.text.isEmpty)
            #expect(try await delete().code() == "not_found")
            _ = try await declare(client, id, [bodies[0]])
            _ = try await put(client, id, "1", bodies[0])
            #expect(try await delete().code() == "already_complete")
        }
    }

    @Test func refusesDeclarationsThatAreNone() async throws {
        let side = try DeviceSide()
        let id = BundleID.random()
        let sha = Digest256.zero.description
        let good = #"[{"size":1,"sha256":"\#(sha)"}]"#
        let cases: [(String, String)] = [
            ("", "invalid_request"), ("[]", "invalid_request"), ("{}", "invalid_request"),
            (#"{"bundle_id":"\#(id)"}"#, "invalid_request"),
            (#"{"bundle_id":"\#(id)","parts":[]}"#, "invalid_request"),
            (#"{"bundle_id":"x","parts":\#(good)}"#, "invalid_request"),
            (#"{"bundle_id":"\#(id)","epoch":0,"parts":\#(good)}"#, "invalid_request"),
            (#"{"bundle_id":"\#(id)","epoch":"1","parts":\#(good)}"#, "invalid_request"),
            (#"{"bundle_id":"\#(id)","parts":[{"size":0,"sha256":"\#(sha)"}]}"#, "invalid_request"),
            (
                #"{"bundle_id":"\#(id)","parts":[{"size":-1,"sha256":"\#(sha)"}]}"#,
                "invalid_request"
            ),
            (#"{"bundle_id":"\#(id)","parts":[{"sha256":"\#(sha)"}]}"#, "invalid_request"),
            (#"{"bundle_id":"\#(id)","parts":[{"size":1}]}"#, "invalid_request"),
            (#"{"bundle_id":"\#(id)","parts":[{"size":1,"sha256":"00"}]}"#, "invalid_request"),
            (
                #"{"bundle_id":"\#(id)","parts":[{"size":1,"sha256":"\#(sha.dropLast())A"}]}"#,
                "invalid_request"
            ),
            (#"{"bundle_id":"\#(id)","parts":[{"size":100001,"sha256":"\#(sha)"}]}"#, "too_large"),
        ]
        try await run(side) { client in
            for (text, code) in cases {
                let answer = try await client.execute(
                    uri: "/v1/bundles", method: .post, headers: Self.jsonFields,
                    body: ByteBuffer(string: text))
                #expect(try answer.code() == code, "\(text.prefix(120))")
            }
            var fields = Self.jsonFields
            fields[try name("Idempotency-Key")] = "\"\(BundleID.random())\""
            let other = try await client.execute(
                uri: "/v1/bundles", method: .post, headers: fields,
                body: try Self.declaration(id, bodies))
            #expect(try other.code() == "invalid_request")
            let list = try await client.execute(
                uri: "/v1/bundles?state=receiving", method: .get, headers: DeviceSide.authorization)
            #expect(list.text == #"{"bundles":[]}"#)
        }
    }

    @Test func refusesADeclarationOfOverAMebibyte() async throws {
        try await run(try DeviceSide()) { client in
            let answer = try await client.execute(
                uri: "/v1/bundles", method: .post, headers: Self.jsonFields,
                body: ByteBuffer(string: String(repeating: " ", count: 1 << 20) + "{}"))
            #expect(try answer.code() == "too_large")
        }
    }

    @Test func takesUnknownMembersAndNoEpoch() async throws {
        let side = try DeviceSide()
        let id = BundleID.random()
        let body = bodies[0]
        let text =
            #"{"bundle_id":"\#(id.description.uppercased())","epoch":null,"more":{},"#
            + #""parts":[{"size":\#(body.count),"sha256":"\#(Digest256.of(body))","x":1}]}"#
        try await run(side) { client in
            let answer = try await client.execute(
                uri: "/v1/bundles", method: .post, headers: Self.jsonFields,
                body: ByteBuffer(string: text))
            #expect(answer.status == .created)
            #expect(try await put(client, id, "1", body).status == .created)
        }
        #expect(side.queue.messages.first?.epoch == nil)
    }

    @Test(arguments: ["", "?state=queued", "?state=", "?state=receiving2"])
    func listsOnlyUnfinishedOnes(query: String) async throws {
        try await run(try DeviceSide()) { client in
            let answer = try await client.execute(
                uri: "/v1/bundles" + query, method: .get, headers: DeviceSide.authorization)
            #expect(try answer.code() == "invalid_request")
        }
    }

    @Test func checksWhatTheHeaderSaysOfAPart() async throws {
        let side = try DeviceSide()
        let id = BundleID.random()
        let wrong = "sha-256=:\(Data(Digest256.zero.bytes).base64EncodedString()):"
        let right = "sha-256=:\(Data(Digest256.of(bodies[1]).bytes).base64EncodedString()):"
        let body = bodies[1]
        try await run(side) { client in
            _ = try await declare(client, id, [bodies[0], body])
            for field in ["Content-Digest", "Repr-Digest"] {
                let answer = try await put(client, id, "2", body, [try name(field): wrong])
                #expect(try answer.code() == "digest_mismatch")
            }
            let coded = try await put(client, id, "2", body, [.contentEncoding: "gzip"])
            #expect(try coded.code() == "unsupported_media_type")
            let typed = try await put(client, id, "2", body, [.contentType: "text/plain"])
            #expect(try typed.code() == "unsupported_media_type")
            #expect(try await put(client, id, "2", body + [0]).code() == "too_large")
            #expect(try await put(client, id, "2", [1, 2]).code() == "digest_mismatch")
            let other = [UInt8](repeating: 1, count: body.count)
            #expect(try await put(client, id, "2", other).code() == "digest_mismatch")
            #expect(try side.fileNames().isEmpty)
            let taken = try await put(
                client, id, "2", body,
                [.contentType: "application/zip", try name("Repr-Digest"): right])
            #expect(taken.status == .created)
            #expect(try await put(client, id, "2", body).status == .ok)
            #expect(try await put(client, id, "2", other).code() == "idempotency_conflict")
            #expect(try side.fileNames().count == 1)
        }
    }

    @Test func tooManyUnfinishedBundlesAre429() async throws {
        try await run(try DeviceSide()) { client in
            for _ in 0..<8 {
                #expect(try await declare(client, .random(), bodies).status == .created)
            }
            let ninth = try await declare(client, .random(), bodies)
            #expect(try ninth.code() == "too_many_open")
            #expect(ninth.status.code == 429 && ninth.headers[.retryAfter] != nil)
        }
    }
}
