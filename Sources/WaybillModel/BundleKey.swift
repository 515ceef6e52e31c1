/// What names a bundle: its id is unique per device only.
package struct BundleKey: Hashable, Sendable {
    package let deviceID: DeviceID
    package let bundleID: BundleID

    package init(deviceID: DeviceID, bundleID: BundleID) {
        self.deviceID = deviceID
        self.bundleID = bundleID
    }
}
