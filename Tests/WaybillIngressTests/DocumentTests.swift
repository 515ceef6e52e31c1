import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Testing
import WaybillIngress
import WaybillModel

/// The calls that a document names, as "GET /v1/device".
struct DocumentedCalls {
    private static let methods = ["get", "put", "post", "delete", "patch", "head", "options"]

    /// Paths of the device side.
    private(set) var deviceSide: Set<String> = []
    /// Paths of the operator side.
    private(set) var operatorSide: Set<String> = []

    /// Reads the lines at the two indents that paths and methods have.
    init(_ document: ServedDocument) throws {
        let text = String(decoding: document.bytes, as: UTF8.self)
        var section = Substring()
        var path = Substring()
        for line in text.split(separator: "\n") {
            if line.first != " " {
                section = line
            } else if section == "paths:", line.hasPrefix("  /") {
                path = line.dropFirst(2).dropLast()
            } else if section == "paths:", line.hasPrefix("    "), line.hasSuffix(":") {
                let method = String(line.dropFirst(4).dropLast())
                guard Self.methods.contains(method) else { continue }
                let isOfDevices = path.hasPrefix("/v1/") || path.hasPrefix("/.well-known/")
                let call = "\(method.uppercased()) \(path)"
                if isOfDevices { deviceSide.insert(call) } else { operatorSide.insert(call) }
            }
        }
        try #require(!deviceSide.isEmpty && !operatorSide.isEmpty)
    }
}

@Suite struct DocumentTests {
    /// Live paths that repeat a documented one without or with `/v1`.
    private static let aliases: Set<String> = [
        "GET /openapi.yaml", "GET /v1/.well-known/waybill-keys.json",
    ]

    @Test func documentNamesWhatTheDeviceSideServes() throws {
        let live = Set(
            try DeviceSide().templates.flatMap { path, methods in
                methods.map { "\($0) \(path)" }
            })
        let documented = try DocumentedCalls(ServedDocument.openAPI).deviceSide
        #expect(live.subtracting(documented) == Self.aliases)
        #expect(documented.subtracting(live).isEmpty)
    }

    @Test(arguments: ["/openapi.yaml", "/v1/openapi.yaml"])
    func servesTheDocumentWithoutAToken(path: String) async throws {
        let side = try DeviceSide()
        try await side.run { client in
            let document = try await client.execute(uri: path, method: .get)
            #expect(document.status == .ok)
            #expect(document.headers[.contentType] == "application/yaml")
            #expect(document.text.hasPrefix("openapi: 3.1"))
            let tag = try #require(document.headers[.eTag])
            for (condition, status) in [
                (tag, 304), ("*", 304), ("W/\(tag)", 304), ("\"x\", \(tag)", 304), ("\"x\"", 200),
            ] {
                let again = try await client.execute(
                    uri: path, method: .get, headers: [.ifNoneMatch: condition])
                #expect(again.status.code == status, "\(condition)")
                #expect(again.headers[.eTag] == tag)
            }
        }
    }
}
