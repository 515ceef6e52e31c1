/// One simulated device: an aircraft with its flights, day by day.
struct Aircraft: Sendable {
    let name: String
    /// In the order of the days; no day is empty.
    let days: [(day: Int, flights: [Flight])]

    /// Groups flights by aircraft, in the order of their names; flights of which the aircraft is not
    /// known go to `unassigned`.
    static func fleet(_ flights: [Flight]) -> [Aircraft] {
        let byAircraft = Dictionary(grouping: flights) { $0.tailNumber ?? "unassigned" }
        return byAircraft.keys.sorted().map { name in
            let byDay = Dictionary(grouping: byAircraft[name] ?? [], by: \.day)
            return Aircraft(
                name: name, days: byDay.keys.sorted().map { ($0, byDay[$0] ?? []) })
        }
    }
}
