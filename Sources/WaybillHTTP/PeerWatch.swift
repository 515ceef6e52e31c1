internal import Synchronization

/// Whether the peer of a connection still waits for the answer to the request in progress.
///
/// Handed to a connection as an outbound event. A peer that sends nothing more may still read: what is
/// there is worth sending to it, waiting for more is not.
package final class PeerWatch: Sendable {
    private let isOver = Atomic(false)
    private let tell: @Sendable () -> Void

    /// - Parameter tell: called once, on the event loop, when the peer has ended its side or is gone:
    ///   be quick.
    package init(_ tell: @escaping @Sendable () -> Void) {
        self.tell = tell
    }

    /// The peer sends nothing more, or is gone.
    package var hasEnded: Bool { isOver.load(ordering: .acquiring) }

    package func end() {
        guard !isOver.exchange(true, ordering: .acquiringAndReleasing) else { return }
        tell()
    }
}
