internal import Hummingbird
package import HummingbirdCore
internal import HummingbirdTLS
package import Logging
internal import NIOCore
internal import NIOSSL
internal import ServiceLifecycle
package import WaybillHTTP
internal import WaybillModel
package import WaybillStore
package import WaybillUpload

/// What the device side works with.
package struct IngressParts: Sendable {
    package var intake: BundleIntake
    package var registry: DeviceRegistry
    package var directory: any DeviceDirectory
    package var receipts: any ReceiptStore
    package var bell: ReceiptBell
    package var keyRing: ReceiptKeyRing
    package var gate: IntakeGate
    /// Returns when the registry is on disk as it is now.
    package var saveRegistry: @Sendable () async -> Void

    package init(
        intake: BundleIntake, registry: DeviceRegistry, directory: any DeviceDirectory,
        receipts: any ReceiptStore, bell: ReceiptBell, keyRing: ReceiptKeyRing,
        gate: IntakeGate = .alwaysOpen,
        saveRegistry: @escaping @Sendable () async -> Void = {}
    ) {
        self.intake = intake
        self.registry = registry
        self.directory = directory
        self.receipts = receipts
        self.bell = bell
        self.keyRing = keyRing
        self.gate = gate
        self.saveRegistry = saveRegistry
    }
}

/// The device side as one service: listens until shutdown, then finishes what is in progress.
package struct IngressService: Service {
    private let application: Application<DeviceResponder>
    private let refusals: RefusalLog

    /// - Parameter onRunning: told the bound port once the server listens.
    /// - Throws: when certificate or key cannot be read.
    package init(
        options: IngressOptions, parts: IngressParts, logger: Logger,
        onRunning: @escaping @Sendable (Int) async -> Void = { _ in }
    ) throws {
        let refusals = RefusalLog()
        self.refusals = refusals
        var configuration = ApplicationConfiguration(
            address: .hostname(options.host, port: options.port), serverName: nil, backlog: 1024)
        configuration.availableConnectionsDelegate = MaximumAvailableConnections(
            options.connectionsMax)
        application = Application(
            responder: Self.responder(options: options, parts: parts, refusals: refusals),
            server: try Self.server(options, watch: refusals), configuration: configuration,
            onServerRunning: { channel in await onRunning(channel.localAddress?.port ?? 0) },
            logger: logger)
    }

    package func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { [application, refusals] group in
            group.addTask { try await application.run() }
            group.addTask { await refusals.run() }
            // The application ends first: the log tells what came until then.
            try await group.next()
            group.cancelAll()
        }
    }

    /// The routes of the contract's device side.
    package static func responder(
        options: IngressOptions, parts: IngressParts, refusals: RefusalLog = RefusalLog()
    ) -> DeviceResponder {
        let metrics = IngressMetrics()
        let authenticator = DeviceAuthenticator(
            registry: parts.registry, directory: parts.directory)
        let bundles = BundleCalls(
            intake: parts.intake, store: parts.receipts, options: options, metrics: metrics)
        let partCalls = PartCalls(intake: parts.intake, options: options, metrics: metrics)
        let receipts = ReceiptCalls(
            store: parts.receipts, registry: parts.registry, bell: parts.bell,
            keyRing: parts.keyRing, options: options)
        let devices = DeviceCalls(
            registry: parts.registry, directory: parts.directory, store: parts.receipts,
            options: options, saveRegistry: parts.saveRegistry)
        let uploads = UploadCalls(intake: parts.intake, options: options, metrics: metrics)
        let send: RouteTable.Handler = { call in
            let headers = call.request.headers
            if UploadFields.mediaType(headers) == "application/json" {
                return try await partCalls.declare(call)
            }
            guard let (version, isLast) = UploadCalls.creation(headers) else {
                return try await bundles.receive(call)
            }
            return try await uploads.createBundle(call, version, isLast: isLast)
        }
        let put: RouteTable.Handler = { call in
            guard let (version, isLast) = UploadCalls.creation(call.request.headers) else {
                return try await partCalls.put(call)
            }
            return try await uploads.createPart(call, version, isLast: isLast)
        }
        var routes = RouteTable()
        // `base_url` ends with /v1; a client that appends /v1 to it once more is understood too.
        for prefix in ["/v1", "/v1/v1"] {
            routes.add(
                "\(prefix)/bundles",
                [
                    .post: send, .get: partCalls.list,
                    .options: uploads.capabilities("GET, HEAD, OPTIONS, POST"),
                ],
                receiving: [.post])
            routes.add(
                "\(prefix)/bundles/{id}/parts/{n}",
                [
                    .put: put, .head: uploads.status, .patch: uploads.append,
                    .delete: uploads.terminate,
                    .options: uploads.capabilities("DELETE, HEAD, OPTIONS, PATCH, PUT"),
                ], receiving: [.put, .patch])
            routes.add(
                "\(prefix)/uploads",
                [.post: uploads.createTus, .options: uploads.capabilities("OPTIONS, POST")],
                receiving: [.post])
            routes.add(
                "\(prefix)/uploads/{id}",
                [
                    .head: uploads.status, .patch: uploads.append, .delete: uploads.terminate,
                    .options: uploads.capabilities("DELETE, HEAD, OPTIONS, PATCH"),
                ], receiving: [.patch])
            routes.add(
                "\(prefix)/bundles/{id}", [.get: bundles.status, .delete: bundles.giveUp])
            routes.add("\(prefix)/receipts", [.get: receipts.page])
            routes.add("\(prefix)/receipts/confirm", [.post: receipts.confirm])
            routes.add("\(prefix)/enrollments", [.post: devices.enroll], isPublic: true)
            routes.add("\(prefix)/device", [.get: devices.status])
        }
        for prefix in ["", "/v1"] {
            routes.add(
                "\(prefix)/.well-known/waybill-keys.json", [.get: receipts.keys], isPublic: true)
            routes.add("\(prefix)/openapi.yaml", [.get: DocumentCalls().get], isPublic: true)
        }
        return DeviceResponder(
            routes: routes, authenticator: authenticator, gate: parts.gate, metrics: metrics,
            refusals: refusals, options: options, saveRegistry: parts.saveRegistry)
    }

    /// Strict HTTP/1.1, inside TLS where there is a certificate.
    package static func server(
        _ options: IngressOptions, watch: any ConnectionWatch = NoWatch()
    ) throws -> HTTPServerBuilder {
        let base = HTTPServerBuilder.guarded(
            limits: options.connection, isSecure: options.tls != nil, watch: watch)
        guard let files = options.tls else { return base }
        let chain = try NIOSSLCertificate.fromPEMFile(files.certificate)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: files.key, format: .pem)))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        return try .tls(base, tlsConfiguration: configuration)
    }
}
