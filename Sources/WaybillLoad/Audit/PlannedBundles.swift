package import WaybillModel

/// What a run's plan says of its bundles, for the audit.
package struct PlannedBundles: ExpectationSource {
    private let maker: BundleMaker

    package init(_ maker: BundleMaker) {
        self.maker = maker
    }

    package func expectation(_ number: Int, digest: Digest256) -> Expectation? {
        if maker.book.recipe(number).fault?.isRefused == true { return nil }
        return maker.expectation(number, digest: digest)
    }

    package func rows(_ number: Int) -> [ExpectedRow] { maker.rows(number) }

    package func number(of bundle: BundleID) -> Int? { maker.book.ids.number(of: bundle) }

    package func number(of transaction: TransactionID) -> (number: Int, index: Int)? {
        maker.book.ids.place(of: transaction).map { ($0.number, $0.index) }
    }

    package func bundleID(_ number: Int) -> BundleID { maker.book.bundleID(number) }
}
