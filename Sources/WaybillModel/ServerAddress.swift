/// `admin.json`: what a running server leaves in its data directory (mode 0600) for the operator's
/// commands on the same machine.
package struct ServerAddress: Codable, Sendable {
    package let adminURL: String
    /// Without `/v1`.
    package let deviceURL: String
    /// Of the local operator; made anew at each start.
    package let token: String
    package let processID: Int32

    package init(adminURL: String, deviceURL: String, token: String, processID: Int32) {
        self.adminURL = adminURL
        self.deviceURL = deviceURL
        self.token = token
        self.processID = processID
    }

    enum CodingKeys: String, CodingKey {
        case token
        case adminURL = "admin_url"
        case deviceURL = "device_url"
        case processID = "pid"
    }
}
