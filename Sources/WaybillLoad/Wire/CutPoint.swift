/// Where a connection is cut on purpose.
package struct CutPoint: Sendable, Equatable {
    /// Which of the bundle's requests with a body: 0, or the part from 0.
    package var request: Int
    /// How many bytes of it still go out; nil: all, and then no answer is waited for.
    package var bytes: Int?

    package init(request: Int, bytes: Int?) {
        self.request = request
        self.bytes = bytes
    }

    /// - Parameter lengths: of the requests that carry the parts, heads included.
    package init(_ cut: BundleRecipe.Cut, lengths: [Int]) {
        switch cut {
        case .beforeAnswer:
            self.init(request: max(0, lengths.count - 1), bytes: nil)
        case .within(let share):
            let total = lengths.reduce(0, +)
            // At least one byte goes out, and at least one does not.
            var position = max(1, min(total - 1, Int(share * Double(total))))
            var request = 0
            while request + 1 < lengths.count, position >= lengths[request] {
                position -= lengths[request]
                request += 1
            }
            self.init(request: request, bytes: position)
        }
    }
}
