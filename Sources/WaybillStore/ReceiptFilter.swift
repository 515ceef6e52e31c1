internal import Synchronization
package import WaybillModel

/// Which bundles may have a receipt: an answer from memory for the many that are new.
///
/// A Bloom filter in layers that double: about two bytes for each bundle. Between one new bundle of 800 and, with every
/// layer full, one of 100 is asked for in the database all the same.
///
/// It knows the receipts that ``ReceiptFinder`` has read since the start and those that this process
/// gives. What other server nodes give it does not know: once one is heard of, everything may have a
/// receipt.
package final class ReceiptFilter: Sendable {
    private struct State {
        var layers: [Layer]
        /// All receipts from before the start are in it, and nobody else gives any.
        var isExact = false
        var hasOtherNodes = false
    }

    private struct Layer {
        private var blocks: BloomBlocks
        private(set) var bundleCount = 0
        let bundlesMax: Int

        init(bundlesMax: Int) {
            self.bundlesMax = bundlesMax
            blocks = BloomBlocks(itemsMax: bundlesMax)
        }

        var isFull: Bool { bundleCount >= bundlesMax }

        func contains(_ hash: UInt64) -> Bool { blocks.contains(hash) }

        mutating func insert(_ hash: UInt64) {
            blocks.insert(hash)
            bundleCount += 1
        }
    }

    private let state: Mutex<State>

    /// 64 MiB. With more bundles than that they are asked for more and more often.
    private static let lastLayerMax = 1 << 24

    /// - Parameter firstLayerMax: bundles that there is room for at first; a power of two.
    package init(firstLayerMax: Int = 1 << 18) {
        state = Mutex(State(layers: [Layer(bundlesMax: firstLayerMax)]))
    }

    /// False only if the bundle has no receipt, or gets its first one just now.
    package func mayHold(_ bundle: BundleKey) -> Bool {
        let hash = Self.hash(bundle)
        return state.withLock { state in
            !state.isExact || state.layers.contains { $0.contains(hash) }
        }
    }

    /// Takes in bundles that have a receipt or get one; before anybody forgets that they are queued.
    func insert(_ bundles: some Sequence<BundleKey>) {
        state.withLock { state in
            for bundle in bundles {
                let hash = Self.hash(bundle)
                if state.layers.contains(where: { $0.contains(hash) }) { continue }
                let last = state.layers.count - 1
                let size = state.layers[last].bundlesMax
                if state.layers[last].isFull, size < Self.lastLayerMax {
                    state.layers.append(Layer(bundlesMax: 2 * size))
                }
                state.layers[state.layers.count - 1].insert(hash)
            }
        }
    }

    /// All receipts that were there before are in it now.
    func noteComplete() {
        state.withLock { $0.isExact = !$0.hasOtherNodes }
    }

    /// Another server node gives receipts, too. Returns whether that is news.
    @discardableResult
    func noteOtherNode() -> Bool {
        state.withLock { state in
            defer {
                state.hasOtherNodes = true
                state.isExact = false
            }
            return !state.hasOtherNodes
        }
    }

    /// Under a key of this process: nobody can choose bundles that look alike.
    private static func hash(_ bundle: BundleKey) -> UInt64 {
        UInt64(bitPattern: Int64(bundle.hashValue))
    }
}
