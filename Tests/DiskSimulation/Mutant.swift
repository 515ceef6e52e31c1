package import SegmentedLog
internal import WaybillQueue

/// A call site that can be left out, by a name that is unique among all kinds.
package struct Mutant: Sendable {
    package let site: any CallSite
    /// As it is chosen and shown: `sync batch`.
    package let name: String
    /// What is left out, in words.
    package let change: String

    private init(_ site: some CallSite, _ kind: String, _ change: String) {
        self.site = site
        self.change = change
        name = kind + " " + site.name
    }

    /// One for each call site.
    package static let all: [Mutant] =
        SyncSite.allCases.map { Mutant($0, "sync", "not synced") }
        + DirectorySyncSite.allCases.map { Mutant($0, "directory", "directory not synced") }
        + ZeroFillSite.allCases.map { Mutant($0, "zeros", "not filled with zeros") }
        + TagCheckSite.allCases.map { Mutant($0, "tag", "tag not checked") }
        + FencingSite.allCases.map { Mutant($0, "fencing", "lease not checked") }
        + QueueDirectorySyncSite.allCases.map {
            Mutant($0, "queue-directory", "directory not synced")
        }

    /// Has this call of the whole process do nothing; false in a build that has no mutants.
    package func begin() -> Bool {
        #if MUTANTS
            Mutation.disable(site)
            return true
        #else
            return false
        #endif
    }

    /// Has all calls of the process work again.
    package static func endAll() {
        #if MUTANTS
            Mutation.disable(nil)
        #endif
    }
}
