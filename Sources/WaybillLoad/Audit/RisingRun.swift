/// The longest strictly rising subsequence.
enum RisingRun {
    /// - Returns: its positions. Takes n log n steps.
    static func longest(_ values: [Int64]) -> Set<Int> {
        /// Position of the smallest value that ends a run of that length, by length less one.
        var ends: [Int] = []
        var before = [Int?](repeating: nil, count: values.count)
        for (position, value) in values.enumerated() {
            var low = 0
            var high = ends.count
            while low < high {
                let middle = (low + high) / 2
                if values[ends[middle]] < value { low = middle + 1 } else { high = middle }
            }
            before[position] = low > 0 ? ends[low - 1] : nil
            if low == ends.count { ends.append(position) } else { ends[low] = position }
        }
        var positions: Set<Int> = []
        var next = ends.last
        while let position = next {
            positions.insert(position)
            next = before[position]
        }
        return positions
    }
}
