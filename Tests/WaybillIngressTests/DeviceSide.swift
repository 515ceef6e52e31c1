import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import WaybillHTTP
import WaybillIngress
import WaybillModel
import WaybillQueue
import WaybillSealing
import WaybillStore
import WaybillUpload

/// A device side on a free port with everything behind it in memory.
struct DeviceSide: Sendable {
    static let token = "t0ken"

    let scratch: String
    let queue = MemoryQueue()
    let store = MemoryStore()
    let bell = ReceiptBell()
    let registry: DeviceRegistry
    let device: RegisteredDevice
    let previous: PreviousBundles
    let gate = IntakeGate.alwaysOpen
    private let responder: DeviceResponder
    private let options: IngressOptions

    init(
        partBytesMax: Int = 100_000, inlineBytesMax: Int = 4096,
        registryFile: RegistryFile? = nil,
        _ adjust: (inout IngressOptions) -> Void = { _ in }
    ) throws {
        let url = FileManager.default.temporaryDirectory.appending(
            path: "waybill-ingress-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        scratch = url.path
        registry = DeviceRegistry(bell: bell)
        device = try store.addDevice(token: Self.token)
        registry.merge([device])
        var limits = Limits()
        limits.partBytesMax = partBytesMax
        previous = PreviousBundles(source: store)
        var options = IngressOptions(host: "127.0.0.1", port: 0, limits: limits)
        options.eventCommentInterval = .milliseconds(20)
        // All tests together may keep a machine busy for longer than devices are given.
        options.connection.headDeadline = .seconds(60)
        adjust(&options)
        self.options = options
        responder = IngressService.responder(
            options: options,
            parts: IngressParts(
                intake: BundleIntake(
                    queue: queue, directory: try PartDirectory(path: scratch, keeping: []),
                    open: try OpenBundles(
                        path: scratch + ".bundles", partsPath: scratch, isHandedOver: { _ in false }
                    ),
                    previous: previous,
                    uploads: try Uploads(
                        path: scratch + ".uploads", partsPath: scratch, owned: []),
                    options: UploadOptions(inlineBytesMax: inlineBytesMax, limits: limits)),
                registry: registry, directory: store, receipts: store, bell: bell,
                keyRing: ReceiptKeyRing(store: store), gate: gate,
                saveRegistry: { [registry] in
                    // A test that gave a file looks into it.
                    try? await registryFile?.save(registry)
                }))
    }

    /// Every path with its methods.
    var templates: [(path: String, methods: [String])] { responder.templates }

    /// Files that were left in the directory of parts.
    func fileNames() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: scratch)
    }

    func run(_ test: @Sendable (any TestClientProtocol) async throws -> Void) async throws {
        defer {
            // What is left in the temporary folder harms nobody.
            try? FileManager.default.removeItem(atPath: scratch)
            try? FileManager.default.removeItem(atPath: scratch + ".bundles")
        }
        try await Application(
            responder: responder, server: try IngressService.server(options),
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0))
        ).test(.live, test)
    }

    static var authorization: HTTPFields { [.authorization: "Bearer \(token)"] }

    static func uploadFields(_ id: BundleID, _ more: HTTPFields = [:]) throws -> HTTPFields {
        var fields = authorization
        fields[.contentType] = "application/zip"
        fields[try name("Idempotency-Key")] = "\"\(id)\""
        for field in more { fields[field.name] = field.value }
        return fields
    }

    static func part(_ text: String = "x", byteCount: Int = 1) throws -> [UInt8] {
        try PartSealer.seal(
            Array(String(repeating: text, count: byteCount).utf8),
            password: [UInt8](repeating: 97, count: 43), method: .stored,
            salt: [UInt8](repeating: 7, count: 16))
    }
}

struct NoSuchName: Error {}

func name(_ text: String) throws -> HTTPField.Name {
    guard let name = HTTPField.Name(text) else { throw NoSuchName() }
    return name
}

extension TestResponse {
    /// The body as JSON.
    func json() throws -> JSONValue {
        try JSONDecoder().decode(JSONValue.self, from: Data(body.readableBytesView))
    }

    /// The code of a problem document; nil for any other body.
    func code() throws -> String? {
        guard headers[.contentType] == "application/problem+json" else { return nil }
        let problem = try JSONDecoder().decode(Problem.self, from: Data(body.readableBytesView))
        return problem.status == status.code && !problem.detail.isEmpty ? problem.code : nil
    }

    var text: String { String(buffer: body) }
}
