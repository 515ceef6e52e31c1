import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Testing
import WaybillIngress

@Suite struct CrossOriginTests {
    private static let page = "https://app.example"

    private static func preflight(from origin: String) -> HTTPFields {
        [
            .origin: origin, .accessControlRequestMethod: "PATCH",
            .accessControlRequestHeaders: "authorization,tus-resumable,upload-offset",
        ]
    }

    @Test(arguments: [
        "/v1/bundles", "/v1/receipts", "/v1/uploads/0", "/v1/enrollments", "/v1/nothing",
    ])
    func anAllowedPageMaySendWhatItAsksFor(path: String) async throws {
        let side = try DeviceSide { $0.origins = [Self.page, "capacitor://localhost"] }
        try await side.run { client in
            let answer = try await client.execute(
                uri: path, method: .options, headers: Self.preflight(from: Self.page))
            #expect(answer.status == .noContent)
            #expect(answer.headers[.accessControlAllowOrigin] == Self.page)
            #expect(
                answer.headers[.accessControlAllowMethods]
                    == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
            #expect(
                answer.headers[.accessControlAllowHeaders]
                    == "authorization,tus-resumable,upload-offset")
            #expect(answer.headers[.vary] == "Origin")
        }
    }

    @Test func anAllowedPageMayReadTheAnswersAndTheErrors() async throws {
        let side = try DeviceSide { $0.origins = [Self.page] }
        try await side.run { client in
            let asked = try await client.execute(
                uri: "/v1/uploads", method: .options,
                headers: [.origin: Self.page])
            let exposed = asked.headers[.accessControlExposeHeaders] ?? ""
            for name in ["tus-version", "tus-extension", "tus-max-size", "date"] {
                #expect(exposed.split(separator: ", ").map(String.init).contains(name))
            }
            let refused = try await client.execute(
                uri: "/v1/receipts", method: .get, headers: [.origin: Self.page])
            #expect(refused.status == .unauthorized)
            #expect(refused.headers[.accessControlAllowOrigin] == Self.page)
            #expect(refused.headers[.accessControlExposeHeaders]?.contains("www-auth") == true)
        }
    }

    @Test func otherPagesAreNotLetIn() async throws {
        let side = try DeviceSide { $0.origins = [Self.page] }
        try await side.run { client in
            for origin in ["https://app.example.evil", "http://app.example", "null", "*", ""] {
                let asked = try await client.execute(
                    uri: "/v1/bundles", method: .options, headers: Self.preflight(from: origin))
                #expect(asked.headers[.accessControlAllowOrigin] == nil)
                #expect(asked.headers[.accessControlAllowHeaders] == nil)
                #expect(asked.headers[.vary] == "Origin", "a cache must not tell one of the other")
            }
        }
    }

    @Test func aStarLetsAllIn() async throws {
        let side = try DeviceSide { $0.origins = ["*"] }
        try await side.run { client in
            let asked = try await client.execute(
                uri: "/v1/bundles", method: .options, headers: Self.preflight(from: "null"))
            #expect(asked.status == .noContent)
            #expect(asked.headers[.accessControlAllowOrigin] == "*")
            #expect(asked.headers[.vary] == nil)
            let plain = try await client.execute(uri: "/v1/openapi.yaml", method: .get)
            #expect(plain.headers[.accessControlAllowOrigin] == "*", "a cache may keep it for all")
            #expect(plain.headers[.accessControlExposeHeaders]?.contains("etag") == true)
        }
    }

    @Test func withoutTheSettingNothingIsSaidOfOrigins() async throws {
        try await DeviceSide().run { client in
            let asked = try await client.execute(
                uri: "/v1/receipts", method: .options, headers: Self.preflight(from: Self.page))
            #expect(asked.status == .methodNotAllowed)
            #expect(asked.headers[.vary] == nil)
            #expect(!asked.headers.contains { $0.name.canonicalName.hasPrefix("access-control") })
        }
    }
}
