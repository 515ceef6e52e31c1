internal import AsyncHTTPClient
internal import NIOCore

/// A pool of connections that clients share. Shut it down when it is no longer needed.
package final class ClientSession: Sendable {
    let client: HTTPClient

    /// - Parameter connectionsMax: to one server; further calls wait for a free one.
    package init(connectionsMax: Int = 8) {
        var configuration = HTTPClient.Configuration()
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
