package import WaybillClient

/// The server under load, as a run sees it.
package struct LoadTarget: Sendable {
    /// Without `/v1`.
    package var deviceURL: String
    /// Where operators call now, and with which token: a server that is started again has a new one.
    /// Nil while there is none.
    package var operatorAddress: @Sendable () -> OperatorAddress?
    /// Certificates (PEM) that are believed in place of the system's.
    package var authorityFile: String?
    /// Nil: rows are not audited.
    package var databaseURL: String?
    /// Of a server that this run started.
    package var gauge: (any ServerGauge)?
    /// Called on each thread that sends, before its first connection.
    package var enterNetwork: (@Sendable () throws -> Void)?
    /// What is done to the server from the measured time's start on.
    package var chaos: (@Sendable (MeasuredTime, ClientSession) -> ChaosRunner)?

    package struct OperatorAddress: Sendable {
        package var url: String
        package var token: String

        package init(url: String, token: String) {
            self.url = url
            self.token = token
        }
    }

    package init(
        deviceURL: String, operatorAddress: @escaping @Sendable () -> OperatorAddress?
    ) {
        self.deviceURL = deviceURL
        self.operatorAddress = operatorAddress
    }

    /// - Throws: ``ServerFailure/staysAway(_:)`` while there is no server.
    func admin(_ session: ClientSession) throws(ServerFailure) -> AdminClient {
        guard let address = operatorAddress() else {
            throw .staysAway("the server does not run")
        }
        return AdminClient(baseURL: address.url, token: address.token, session: session)
    }
}

/// What a server's process uses; nil while there is none.
package protocol ServerGauge: Sendable {
    func residentBytes() -> Int?
    /// User and system, of all of its lives.
    func cpuSeconds() -> Double?
}
