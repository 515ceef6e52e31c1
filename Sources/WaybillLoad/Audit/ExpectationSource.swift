package import WaybillModel

/// What the audit must know of a run, made again from numbers whenever it is asked for.
///
/// Called on the audit's threads, several at once.
package protocol ExpectationSource: Sendable {
    /// What its receipt must say; nil for a bundle that has to be refused when it is uploaded.
    ///
    /// - Parameter digest: of the bytes that were sent.
    func expectation(_ number: Int, digest: Digest256) throws -> Expectation?
    /// The row that a transaction becomes; nil if none, for any index from 0.
    func row(_ number: Int, index: Int) throws -> ExpectedRow?
    /// Nil for an id that is none of this run's.
    func number(of bundle: BundleID) -> Int?
    /// Nil for an id that is none of this run's.
    func number(of transaction: TransactionID) -> (number: Int, index: Int)?
    func bundleID(_ number: Int) -> BundleID
}

extension RecipeBook {
    package func row(_ number: Int, index: Int) -> ExpectedRow? {
        row(LoadID.Place(number: number, index: index))
    }
}
