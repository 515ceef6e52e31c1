internal import Synchronization

#if MUTANTS
    internal import Crypto
    internal import FoundationEssentials
#endif

/// One call that durability, authenticity or fencing rests on; see Mutants.
///
/// Kinds are enums with a case for each call in the sources, which a test compares.
package protocol CallSite: CaseIterable, RawRepresentable<Int>, Sendable {
    /// Unique among the kinds.
    static var kind: Int { get }
}

extension CallSite {
    /// The case's name.
    package var name: String { "\(self)" }

    /// Unique among the call sites of all kinds; never 0.
    package var code: Int { Self.kind << 16 | (rawValue + 1) }
}

/// The mutants of a build with the condition MUTANTS: each leaves out what one call site is there for.
///
/// Without the condition there is nothing to switch, and every call site does what it says.
package enum Mutation {
    /// Whether this build can leave anything out.
    package static var isPossible: Bool {
        #if MUTANTS
            true
        #else
            false
        #endif
    }

    #if MUTANTS
        /// The code of the call site that does nothing; 0 for none.
        private static let disabled = Atomic(0)

        /// Has one call site of the process do nothing from now on; nil: has all of them work.
        package static func disable(_ site: (any CallSite)?) {
            disabled.store(site?.code ?? 0, ordering: .sequentiallyConsistent)
        }

        /// Whether this call site does nothing.
        package static func disables(_ site: some CallSite) -> Bool {
            disabled.load(ordering: .relaxed) == site.code
        }

        /// Opens what AES-GCM sealed, whatever its tag: the mode's key stream, added a second time, is
        /// gone.
        static func decryptUnchecked(
            _ ciphertext: some Collection<UInt8>, key: SymmetricKey, nonce: AES.GCM.Nonce
        ) throws -> [UInt8] {
            Array(try AES.GCM.seal(Array(ciphertext), using: key, nonce: nonce).ciphertext)
        }
    #endif
}
