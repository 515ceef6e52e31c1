package import WaybillModel
package import WaybillStore

/// The database as a listener sees it; belongs to one listener's thread, and blocks.
package protocol BundleSettler: AnyObject {
    /// Opens the session if there is none.
    func connect() throws(StoreError)
    /// The epochs under which each device may seal, newest first.
    func openEpochs(_ devices: Set<DeviceID>) throws(StoreError) -> [DeviceID: [Int]]
    /// The secrets of open epochs; one that there is not is missing.
    func secrets(_ wanted: [DeviceEpoch]) throws(StoreError) -> [DeviceEpoch: DeviceSecret]
    /// Which of the bundles have a receipt, whatever it says.
    func receipted(_ bundles: [BundleKey]) throws(StoreError) -> Set<BundleKey>
    /// Settles a batch in one transaction, as ``Settler/settle(_:rows:)``.
    func settle(
        _ bundles: [BundleToSettle], rows: (inout SettlementTransaction) throws -> Void
    ) throws -> [SettledBundle]
}

extension Settler: BundleSettler {}
