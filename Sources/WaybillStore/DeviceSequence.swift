internal import WaybillModel

/// Which numbers of a device's own count of bundles were seen.
struct DeviceSequence: Equatable {
    /// Nil while the device sent no number.
    private(set) var highest: Int64?
    /// Numbers below `highest` that were not seen, ascending.
    private(set) var gaps: [ClosedRange<Int64>]

    /// Older gaps beyond this many are forgotten.
    static let gapCountMax = 100

    init(highest: Int64?, gaps: [ClosedRange<Int64>]) {
        self.highest = highest
        self.gaps = gaps
    }

    /// Reads what ``encodedGaps`` wrote; anything else counts as no gaps.
    init(highest: Int64?, encodedGaps text: String) {
        let numbers = text.split { !$0.isNumber }.compactMap { Int64($0) }
        let pairs = stride(from: 0, to: numbers.count - 1, by: 2)
        self.init(
            highest: highest,
            gaps: pairs.compactMap { position in
                let (from, to) = (numbers[position], numbers[position + 1])
                return from <= to ? from...to : nil
            })
    }

    /// `[[from,to],…]`
    var encodedGaps: String {
        "[" + gaps.map { "[\($0.lowerBound),\($0.upperBound)]" }.joined(separator: ",") + "]"
    }

    /// Takes note of a number; one below 1 is no number, one seen before changes nothing.
    mutating func note(_ number: Int64) {
        guard number >= 1 else { return }
        let last = highest ?? 0
        if number > last {
            if number > last + 1 { gaps.append(last + 1...number - 1) }
            highest = number
        } else if let position = gaps.firstIndex(where: { $0.contains(number) }) {
            let gap = gaps.remove(at: position)
            if number < gap.upperBound { gaps.insert(number + 1...gap.upperBound, at: position) }
            if number > gap.lowerBound { gaps.insert(gap.lowerBound...number - 1, at: position) }
        }
        if gaps.count > Self.gapCountMax { gaps.removeFirst(gaps.count - Self.gapCountMax) }
    }
}
