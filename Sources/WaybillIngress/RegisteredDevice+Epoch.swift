internal import WaybillModel
internal import WaybillStore

extension RegisteredDevice {
    /// What is sealed under an epoch that the device has not come to could never be opened.
    ///
    /// - Throws: 400 for such an epoch; a past one is tried when the bundle is opened.
    func check(epoch: Int?) throws(Problem) {
        guard let epoch, epoch > self.epoch else { return }
        throw Problem(
            .invalidRequest, "The device is at epoch \(self.epoch); there is no epoch \(epoch) yet."
        )
    }
}
