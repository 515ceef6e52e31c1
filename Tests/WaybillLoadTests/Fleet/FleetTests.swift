import Foundation
import Synchronization
import Testing
import WaybillClient
import WaybillModel

@testable import WaybillLoad

@Suite struct FleetTests {
    /// What a server knows; answers as the contract says.
    private final class Book: Sendable {
        struct State: Sendable {
            var codes = 0
            /// Device ids by token.
            var devices: [String: DeviceID] = [:]
            /// Tokens by code and request id.
            var enrolled: [String: String] = [:]
            var failuresLeft: Int
            var isTenantThere: Bool
        }

        let state: Mutex<State>

        init(failures: Int = 0, isTenantThere: Bool = false) {
            state = Mutex(State(failuresLeft: failures, isTenantThere: isTenantThere))
        }

        func answer(_ request: ScriptedServer.Request) -> ScriptedServer.Answer {
            state.withLock { state in
                switch (request.method, request.target) {
                case ("POST", "/admin/v1/tenants"):
                    guard !state.isTenantThere else { return .problem(409, "already_exists") }
                    state.isTenantThere = true
                    return .init(
                        201,
                        #"{"name":"load","created_at":"2026-11-21T03:00:00.000000Z","devices":0}"#)
                case ("POST", "/admin/v1/invitations"):
                    let count = Self.number("count", in: request.body)
                    let codes = (0..<count).map { index in
                        #"{"code":"code-\#(state.codes + index)","#
                            + #""expires_at":"2026-11-22T03:00:00.000000Z"}"#
                    }
                    state.codes += count
                    return .init(201, "[\(codes.joined(separator: ","))]")
                case ("POST", "/v1/enrollments"): return Self.enroll(request.body, &state)
                case ("GET", "/v1/device"): return Self.device(request, state)
                default: return .problem(404, "not_found")
                }
            }
        }

        private static func number(_ name: String, in body: String) -> Int {
            let value = try? JSONDecoder().decode([String: Value].self, from: Data(body.utf8))
            return value?[name]?.number ?? 0
        }

        private struct Value: Decodable {
            var number: Int?

            init(from decoder: any Decoder) throws {
                number = try? decoder.singleValueContainer().decode(Int.self)
            }
        }

        private static func enroll(_ body: String, _ state: inout State) -> ScriptedServer.Answer {
            guard
                let request = try? JSONDecoder().decode(
                    EnrollmentRequest.self, from: Data(body.utf8)), let id = request.requestID
            else { return .problem(400, "invalid_request") }
            guard request.code.hasPrefix("code-") else { return .problem(403, "code_invalid") }
            let key = "\(request.code) \(id)"
            let token = state.enrolled[key] ?? "token-\(state.enrolled.count)"
            guard
                state.enrolled[key] != nil
                    || !state.enrolled.keys.contains(where: {
                        $0.hasPrefix(request.code + " ")
                    })
            else { return .problem(403, "code_invalid") }
            let device = state.devices[token] ?? DeviceID.random()
            state.enrolled[key] = token
            state.devices[token] = device
            guard state.failuresLeft == 0 else {
                // It was done; the answer is lost.
                state.failuresLeft -= 1
                return .problem(503, "database_unavailable", retryable: true)
            }
            let secret = Base64URL.encode([UInt8](repeating: 5, count: 32))
            return .init(
                201,
                #"{"base_url":"http://127.0.0.1:9/v1","tenant":"load","device_id":"\#(device)","#
                    + #""token":"\#(token)","secret":"\#(secret)","epoch":1,"#
                    + #""server_time":"2026-11-21T03:00:00.000000Z","limits":\#(limits)}"#)
        }

        private static func device(
            _ request: ScriptedServer.Request, _ state: State
        ) -> ScriptedServer.Answer {
            let token = request.headers["authorization"].map { String($0.dropFirst(7)) } ?? ""
            guard let device = state.devices[token] else { return .problem(401, "unauthorized") }
            return .init(
                200,
                #"{"tenant":"load","device_id":"\#(device)","name":"n","epoch":1,"last":41,"#
                    + #""safe_through":41,"confirmed":41,"device_seq":7,"gaps":[],"#
                    + #""server_time":"2026-11-21T03:00:00.000000Z","limits":\#(limits)}"#)
        }

        private static var limits: String {
            // Values of the program's own encoder.
            let data = try? JSONEncoder().encode(Limits())
            return data.map { String(decoding: $0, as: UTF8.self) } ?? "{}"
        }
    }

    private let quick = FleetRetrying(triesMax: 8, firstSeconds: 0.001, ceilingSeconds: 0.002)

    private func withServer(
        _ book: Book,
        _ body: (ScriptedServer, (Int, String?) async throws -> [LoadDevice]) async throws -> Void
    ) async throws {
        let server = try await ScriptedServer { book.answer($0) }
        let session = ClientSession(connectionsMax: 64)
        let tenant = try #require(TenantSlug("load"))
        let admin = AdminClient(baseURL: server.address, token: "admin", session: session)
        let result: Result<Void, any Error>
        do {
            try await body(server) { count, file in
                try await Fleet.enroll(
                    count: count, tenant: tenant, admin: admin, deviceURL: server.address,
                    session: session, name: "load", file: file, retrying: quick)
            }
            result = .success(())
        } catch {
            result = .failure(error)
        }
        try await session.shutdown()
        try await server.close()
        try result.get()
    }

    @Test func enrolsEachDeviceWithACodeAndARequestIDOfItsOwn() async throws {
        let book = Book(failures: 7)
        try await withServer(book) { server, enroll in
            let devices = try await enroll(130, nil)
            #expect(devices.count == 130)
            #expect(Set(devices.map(\.deviceID)).count == 130)
            #expect(Set(devices.map(\.token)).count == 130)
            #expect(devices.allSatisfy { $0.secret == [UInt8](repeating: 5, count: 32) })
            #expect(devices.allSatisfy { $0.lastReceipt == 0 })
            // Seven answers were lost: those calls came again as they were.
            let calls = try server.requests("POST", "/v1/enrollments").map { call in
                let request = try JSONDecoder().decode(
                    EnrollmentRequest.self, from: Data(call.body.utf8))
                return "\(request.code) \(request.requestID?.description ?? "none")"
            }
            #expect(calls.count == 137)
            #expect(Set(calls).count == 130)
            #expect(server.requests("POST", "/admin/v1/invitations").count == 2)
            #expect(server.underWayMax <= 32)
            #expect(server.underWayMax > 1)
        }
    }

    @Test func aTenantThatIsThereIsUsed() async throws {
        try await withServer(Book(isTenantThere: true)) { server, enroll in
            let devices = try await enroll(3, nil)
            #expect(devices.count == 3)
            #expect(server.requests("POST", "/admin/v1/tenants").count == 1)
        }
    }

    @Test func devicesOfTheFileAreUsedAgainAsFarAsTheServerKnowsThem() async throws {
        let book = Book()
        let path = "/tmp/waybill-fleet-\(UInt64.random(in: .min ... .max)).json"
        defer { unlink(path) }
        try await withServer(book) { server, enroll in
            let first = try await enroll(4, path)
            // The server's device side is where the enrolment said, not here: see it answer.
            let saved = try #require(try FleetFile.read(path))
            #expect(saved.devices.map(\.token) == first.map(\.token))
            let moved = saved.devices.map { device in
                var device = device
                device.baseURL = server.address + "/v1"
                return device
            }
            try FleetFile(deviceURL: server.address, tenant: saved.tenant, devices: moved)
                .write(to: path)
            book.state.withLock { _ = $0.devices.removeValue(forKey: first[1].token) }
            let second = try await enroll(5, path)
            #expect(second.count == 5)
            #expect(
                Array(second.map(\.deviceID).prefix(3))
                    == [first[0].deviceID, first[2].deviceID, first[3].deviceID])
            #expect(second.map(\.lastReceipt) == [41, 41, 41, 0, 0])
            #expect(server.requests("POST", "/v1/enrollments").count == 6)
            let after = try FleetFile.read(path)
            #expect(after?.devices.count == 5)
        }
    }

    @Test func devicesOfAnotherServerAreLeftAlone() async throws {
        let path = "/tmp/waybill-fleet-\(UInt64.random(in: .min ... .max)).json"
        defer { unlink(path) }
        let tenant = try #require(TenantSlug("load"))
        try FleetFile(
            deviceURL: "http://127.0.0.1:2", tenant: tenant,
            devices: try BundleSupport.devices(2)
        ).write(to: path)
        try await withServer(Book()) { server, enroll in
            let devices = try await enroll(2, path)
            #expect(devices.count == 2)
            #expect(server.requests("GET", "/v1/device").isEmpty)
        }
    }

    @Test func aRefusalIsNotTriedAgain() async throws {
        let server = try await ScriptedServer { _ in .problem(403, "forbidden") }
        let session = ClientSession()
        let tenant = try #require(TenantSlug("load"))
        await #expect(throws: ClientError.self) {
            try await Fleet.enroll(
                count: 1, tenant: tenant,
                admin: AdminClient(baseURL: server.address, token: nil, session: session),
                deviceURL: server.address, session: session, name: "load", retrying: quick)
        }
        #expect(server.requests("POST", "/").count == 1)
        try await session.shutdown()
        try await server.close()
    }
}
