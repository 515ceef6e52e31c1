internal import WaybillModel

/// Devices with work that can be handed out, taken in turn: round robin over tenants, and over the
/// devices of each.
struct FairLine: Sendable {
    private var tenants = Line<TenantID>()
    private var devices: [TenantID: Line<DeviceID>] = [:]
    private(set) var count = 0

    /// Behind all others of its tenant.
    mutating func append(_ device: DeviceID, of tenant: TenantID) {
        if devices[tenant] == nil { tenants.append(tenant) }
        devices[tenant, default: Line()].append(device)
        count += 1
    }

    /// The next one, and how many of `places` in a lease it may fill, so that every tenant and every
    /// device that waits gets an even share; at least one.
    mutating func popFirst(places: Int) -> (device: DeviceID, tenant: TenantID, share: Int)? {
        guard let tenant = tenants.first, let others = devices[tenant]?.count else { return nil }
        let share = max(1, places / max(1, devices.count) / max(1, others))
        _ = tenants.popFirst()
        guard let device = devices[tenant]?.popFirst() else { return nil }
        count -= 1
        if devices[tenant]?.isEmpty == true {
            devices[tenant] = nil
        } else {
            tenants.append(tenant)
        }
        return (device, tenant, share)
    }

    /// Puts devices before all others, keeping their order.
    mutating func putBack(_ returned: [(device: DeviceID, tenant: TenantID)]) {
        guard !returned.isEmpty else { return }
        var order: [TenantID] = []
        var byTenant: [TenantID: [DeviceID]] = [:]
        for (device, tenant) in returned {
            if byTenant[tenant] == nil { order.append(tenant) }
            byTenant[tenant, default: []].append(device)
        }
        for tenant in order {
            devices[tenant, default: Line()].putBack(byTenant[tenant] ?? [])
        }
        count += returned.count
        let wasWaiting = tenants.all.filter { byTenant[$0] == nil }
        tenants = Line()
        for tenant in order + wasWaiting { tenants.append(tenant) }
    }

    /// Takes a device out, wherever it stands; false if it does not.
    mutating func remove(_ device: DeviceID, of tenant: TenantID) -> Bool {
        guard let line = devices[tenant]?.all, line.contains(device) else { return false }
        var rest = Line<DeviceID>()
        for other in line where other != device { rest.append(other) }
        devices[tenant] = rest.isEmpty ? nil : rest
        if rest.isEmpty {
            let others = tenants.all.filter { $0 != tenant }
            tenants = Line()
            for other in others { tenants.append(other) }
        }
        count -= 1
        return true
    }
}
