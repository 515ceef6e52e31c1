internal import SegmentedLog

/// The calls that refuse what is said by somebody who no longer holds a lease.
package enum FencingSite: Int, CallSite {
    package static let kind = 4

    case settle
    case extend

    /// The result of one check; true where a mutant leaves it out.
    func confirms(_ isHeld: Bool) -> Bool {
        #if MUTANTS
            if Mutation.disables(self) { return true }
        #endif
        return isHeld
    }
}
