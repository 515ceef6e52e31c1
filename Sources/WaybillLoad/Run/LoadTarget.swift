/// The server under load, as a run sees it.
package struct LoadTarget: Sendable {
    /// Without `/v1`.
    package var deviceURL: String
    package var adminURL: String
    package var adminToken: String
    /// Certificates (PEM) that are believed in place of the system's.
    package var authorityFile: String?
    /// Nil: rows are not audited.
    package var databaseURL: String?
    /// Of a server that this run started.
    package var gauge: (any ServerGauge)?

    package init(
        deviceURL: String, adminURL: String, adminToken: String, authorityFile: String? = nil,
        databaseURL: String? = nil, gauge: (any ServerGauge)? = nil
    ) {
        self.deviceURL = deviceURL
        self.adminURL = adminURL
        self.adminToken = adminToken
        self.authorityFile = authorityFile
        self.databaseURL = databaseURL
        self.gauge = gauge
    }
}

/// What a server's process uses; nil while there is none.
package protocol ServerGauge: Sendable {
    func residentBytes() -> Int?
    /// User and system, since the process began.
    func cpuSeconds() -> Double?
}
