/// What a part's password is bound to.
package struct PartIdentity: Hashable, Sendable {
    /// The tenant's slug.
    package var tenant: String
    /// Lower case with hyphens.
    package var deviceID: String
    /// 16 bytes in network order.
    package var bundleID: [UInt8]
    /// Of the device's secret, from 1.
    package var epoch: Int
    /// Counted from 1.
    package var part: Int

    package init(tenant: String, deviceID: String, bundleID: [UInt8], epoch: Int, part: Int) {
        self.tenant = tenant
        self.deviceID = deviceID
        self.bundleID = bundleID
        self.epoch = epoch
        self.part = part
    }
}
