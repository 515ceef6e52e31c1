internal import AsyncHTTPClient
internal import NIOCore
internal import NIOSSL

/// A pool of connections that clients share. Shut it down when it is no longer needed.
package final class ClientSession: Sendable {
    let client: HTTPClient

    /// - Parameters:
    ///   - connectionsMax: to one server; further calls wait for a free one.
    ///   - authorityFile: certificates (PEM) that are believed in place of the system's.
    package init(connectionsMax: Int = 8, authorityFile: String? = nil) {
        var configuration = HTTPClient.Configuration()
        if let authorityFile {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .file(authorityFile)
            configuration.tlsConfiguration = tls
        }
        configuration.redirectConfiguration = .disallow
        configuration.timeout.connect = .seconds(10)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = connectionsMax
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        client = HTTPClient(
            eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    /// Ends all connections; calls under way fail.
    package func shutdown() async throws {
        try await client.shutdown()
    }
}
