package import WaybillModel

/// A simulated device after its enrolment.
package struct LoadDevice: Codable, Sendable {
    package var deviceID: DeviceID
    package var tenant: TenantSlug
    package var epoch: Int
    package var token: String
    /// 32 bytes.
    package var secret: [UInt8]
    /// With `/v1`, as the enrolment told it.
    package var baseURL: String
    /// Its highest receipt before the run: 0 for a new device. Not saved: the server is asked.
    package var lastReceipt: Int64 = 0

    package init(
        deviceID: DeviceID, tenant: TenantSlug, epoch: Int, token: String, secret: [UInt8],
        baseURL: String, lastReceipt: Int64 = 0
    ) {
        self.deviceID = deviceID
        self.tenant = tenant
        self.epoch = epoch
        self.token = token
        self.secret = secret
        self.baseURL = baseURL
        self.lastReceipt = lastReceipt
    }

    enum CodingKeys: String, CodingKey {
        case tenant, epoch, token, secret
        case deviceID = "device_id"
        case baseURL = "base_url"
    }
}
