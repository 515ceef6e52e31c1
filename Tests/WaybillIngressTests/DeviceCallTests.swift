import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import WaybillIngress
import WaybillModel
import WaybillStore

@Suite struct DeviceCallTests {
    @Test func refusesEveryBadTokenWithOneBody() async throws {
        let side = try DeviceSide()
        let revoked = try side.store.addDevice(token: "revoked", isRevoked: true)
        side.registry.merge([revoked])
        try await side.run { client in
            var bodies: Set<String> = []
            for value in [nil, "Bearer wrong", "Bearer revoked", "Basic eDp5", "Bearer "] {
                var fields: HTTPFields = [:]
                if let value { fields[.authorization] = value }
                let answer = try await client.execute(
                    uri: "/v1/device", method: .get, headers: fields)
                #expect(try answer.code() == "unauthorized")
                bodies.insert(answer.text)
            }
            #expect(bodies.count == 1)
            side.store.setAway(true)
            let away = try await client.execute(
                uri: "/v1/device", method: .get, headers: [.authorization: "Bearer stranger"])
            #expect(try away.code() == "database_unavailable")
        }
    }

    @Test func asksForAnUnknownTokenOnceInAWhile() async throws {
        let store = MemoryStore()
        let authenticator = DeviceAuthenticator(
            registry: DeviceRegistry(), directory: store, strangerMemory: .seconds(60))
        for _ in 0..<10 {
            await #expect(throws: Problem.self) {
                _ = try await authenticator.authenticate([.authorization: "Bearer stranger"])
            }
        }
        #expect(store.lookUps == 1)
    }

    @Test func findsADeviceThatAnotherNodeEnrolled() async throws {
        let store = MemoryStore()
        let known = try store.addDevice(token: "fresh")
        let registry = DeviceRegistry()
        let authenticator = DeviceAuthenticator(registry: registry, directory: store)
        for _ in 0..<2 {
            let device = try await authenticator.authenticate([.authorization: "bearer fresh"])
            #expect(device.deviceID == known.deviceID)
        }
        #expect(store.lookUps == 1)
        registry.revoke(known.deviceID)
        await #expect(throws: Problem.self) {
            _ = try await authenticator.authenticate([.authorization: "Bearer fresh"])
        }
    }

    @Test func enrollsADeviceWhoseTokenWorksAtOnce() async throws {
        let side = try DeviceSide()
        side.store.addCode("c0de")
        try await side.run { client in
            func enroll(_ body: String) async throws -> TestResponse {
                try await client.execute(
                    uri: "/v1/enrollments", method: .post,
                    headers: [.contentType: "application/json"], body: ByteBuffer(string: body))
            }
            try expect("invalid_request", of: try await enroll("{"))
            try expect("invalid_request", of: try await enroll(#"{"code":"c0de","name":""}"#))
            let long = String(repeating: "n", count: 201)
            try expect(
                "invalid_request", of: try await enroll(#"{"code":"c0de","name":"\#(long)"}"#))
            try expect(
                "invalid_request",
                of: try await enroll(#"{"code":"c0de","name":"n","request_id":"x"}"#))
            try expect("code_invalid", of: try await enroll(#"{"code":"other","name":"n"}"#))
            let answer = try await enroll(#"{"code":"c0de","name":"tablet"}"#)
            #expect(answer.status == .created)
            let token = try #require(try answer.json()["token"]?.text)
            #expect(try answer.json()["base_url"]?.text?.hasPrefix("http://localhost") == true)
            let device = try await client.execute(
                uri: "/v1/device", method: .get, headers: [.authorization: "Bearer \(token)"])
            #expect(device.status == .ok)
            #expect(try device.json()["device_seq"]?.integer == 17)
            #expect(device.text.contains(#""gaps":[[3,5]]"#))
            side.store.setAway(true)
            try expect("database_unavailable", of: try await enroll(#"{"code":"c","name":"n"}"#))
        }
    }

    /// The database was not told of the first request yet: this node knows of it.
    @Test func enrolmentIsNotRepeatedAfterTheFirstAuthenticatedRequest() async throws {
        let side = try DeviceSide()
        side.store.addCode("c0de")
        try await side.run { client in
            func enroll() async throws -> TestResponse {
                try await client.execute(
                    uri: "/v1/enrollments", method: .post,
                    headers: [.contentType: "application/json"],
                    body: ByteBuffer(
                        string: """
                            {"code":"c0de","name":"n",\
                            "request_id":"0190163d-8694-739b-aea5-966c26f8ad91"}
                            """))
            }
            let first = try await enroll()
            let second = try await enroll()
            try expectEqual(first.json()["device_id"]?.text, second.json()["device_id"]?.text)
            let token = try #require(try second.json()["token"]?.text)
            let device = try await client.execute(
                uri: "/v1/device", method: .get, headers: [.authorization: "Bearer \(token)"])
            #expect(device.status == .ok)
            try expect("code_invalid", of: try await enroll())
        }
    }

    @Test func joinsReceiptsAsTheyWereSigned() async throws {
        let side = try DeviceSide()
        let documents = (1...3).map { #"{"seq":\#($0),"x":1.0}"# }
        for document in documents {
            side.store.addReceipt(
                document, of: side.device.deviceID, bundle: .random(), parts: [.zero])
        }
        try await side.run { client in
            func get(_ query: String) async throws -> TestResponse {
                try await client.execute(
                    uri: "/v1/receipts\(query)", method: .get, headers: DeviceSide.authorization)
            }
            let all = documents.joined(separator: ",")
            try await expectEqual(
                get("").text, #"{"receipts":[\#(all)],"last":3,"safe_through":3}"#)
            try await expectEqual(
                get("?after=1&limit=1").text,
                #"{"receipts":[\#(documents[1])],"last":3,"safe_through":3}"#)
            let huge = "99999999999999999999999"
            try await expectEqual(
                get("?after=\(huge)").text, #"{"receipts":[],"last":3,"safe_through":3}"#)
            try await expectEqual(get("?limit=\(huge)&wait=\(huge)").status, .ok)
            for query in ["?after=-1", "?limit=-1", "?wait=-1", "?after=x", "?limit=1.5", "?wait="]
            {
                try expect("invalid_request", of: try await get(query))
            }
            side.store.setAway(true)
            try expect("database_unavailable", of: try await get(""))
        }
    }

    @Test func aLongPollEndsWithTheFirstReceipt() async throws {
        let side = try DeviceSide()
        try await side.run { client in
            async let answer = client.execute(
                uri: "/v1/receipts?wait=60", method: .get, headers: DeviceSide.authorization)
            side.store.addReceipt(
                #"{"seq":1}"#, of: side.device.deviceID, bundle: .random(), parts: [.zero])
            side.bell.ring([side.device.deviceID])
            let text = try await answer.text
            #expect(text.hasPrefix(#"{"receipts":[{"seq":1}]"#))
        }
    }

    @Test func confirmsOnlyWhatWasIssued() async throws {
        let side = try DeviceSide()
        side.store.addReceipt("{}", of: side.device.deviceID, bundle: .random(), parts: [.zero])
        try await side.run { client in
            func confirm(_ body: String) async throws -> TestResponse {
                var fields = DeviceSide.authorization
                fields[.contentType] = "application/json; charset=utf-8"
                return try await client.execute(
                    uri: "/v1/receipts/confirm", method: .post, headers: fields,
                    body: ByteBuffer(string: body))
            }
            try await expectEqual(confirm(#"{"through":1}"#).status, .noContent)
            try expect("not_issued", of: try await confirm(#"{"through":2}"#))
            try expect("invalid_request", of: try await confirm(#"{"through":-1}"#))
            try expect("invalid_request", of: try await confirm(#"{"through":"1"}"#))
            #expect(side.store.confirmed == [1])
        }
    }

    @Test func servesKeysFromMemoryOnceItHasThem() async throws {
        let side = try DeviceSide()
        try await side.run { client in
            for isAway in [false, true] {
                side.store.setAway(isAway)
                let answer = try await client.execute(
                    uri: "/.well-known/waybill-keys.json", method: .get)
                #expect(answer.text.hasPrefix(#"{"keys":[{"key_id":"k1","not_after":null"#))
            }
        }
    }

    @Test func answersUnknownPathsAndMethodsWithProblems() async throws {
        let side = try DeviceSide()
        try await side.run { client in
            let lost = try await client.execute(uri: "/v1/nothing", method: .get)
            #expect(try lost.code() == "not_found")
            let part = try await client.execute(
                uri: "/v1/bundles/\(BundleID.random())/parts/1/bytes", method: .put,
                body: ByteBuffer(string: "x"))
            #expect(try part.code() == "not_found")
            let wrong = try await client.execute(uri: "/v1/enrollments", method: .get)
            #expect(try wrong.code() == "method_not_allowed")
            #expect(wrong.headers[.allow] == "POST")
            let unknown = try await client.execute(
                uri: "/v1/bundles/../x", method: .get, headers: DeviceSide.authorization)
            #expect(try unknown.code() == "not_found")
        }
    }
}

/// Expects a problem document with this code.
private func expect(
    _ code: String, of answer: TestResponse, sourceLocation: SourceLocation = #_sourceLocation
) throws {
    #expect(try answer.code() == code, sourceLocation: sourceLocation)
}

private func expectEqual<Value: Equatable>(
    _ left: Value, _ right: Value, sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(left == right, sourceLocation: sourceLocation)
}
