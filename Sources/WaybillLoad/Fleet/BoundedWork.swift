/// Runs `work` on all inputs, a bounded number at a time; results in the order of the inputs.
package func mapConcurrently<Input: Sendable, Output: Sendable>(
    _ inputs: [Input], atOnce: Int, _ work: @escaping @Sendable (Input) async throws -> Output
) async throws -> [Output] {
    try await withThrowingTaskGroup(of: (Int, Output).self) { group in
        var results: [Output?] = Array(repeating: nil, count: inputs.count)
        var next = 0
        while next < min(atOnce, inputs.count) {
            let index = next
            group.addTask { (index, try await work(inputs[index])) }
            next += 1
        }
        while let (index, output) = try await group.next() {
            results[index] = output
            if next < inputs.count {
                let index = next
                group.addTask { (index, try await work(inputs[index])) }
                next += 1
            }
        }
        return results.compactMap { $0 }
    }
}
