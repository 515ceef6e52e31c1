/// Bundles on their way to the traffic, whose digests the ledger notes as they pass.
package struct NotedBundles: BundleSource {
    private let source: any BundleSource
    private let ledger: BundleLedger

    package init(_ source: any BundleSource, ledger: BundleLedger) {
        self.source = source
        self.ledger = ledger
    }

    package func take(_ number: Int) -> SealedBundle? {
        guard let bundle = source.take(number) else { return nil }
        ledger.sealed(number, digest: bundle.digest)
        return bundle
    }

    package func whenReady(_ number: Int, _ call: @escaping @Sendable () -> Void) {
        source.whenReady(number, call)
    }

    package func sealAgain(
        _ number: Int, _ done: @escaping @Sendable (SealedBundle?) -> Void
    ) {
        source.sealAgain(number, done)
    }
}
