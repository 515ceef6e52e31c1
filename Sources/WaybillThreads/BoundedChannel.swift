internal import DequeModule

/// A queue of limited length between threads: a full one makes the sender wait.
package final class BoundedChannel<Element: Sendable>: Sendable {
    private struct State {
        var elements: Deque<Element> = []
        var isClosed = false
    }

    private let state = Monitor(State())

    /// How many elements fit.
    package let capacity: Int

    package init(capacity: Int) {
        precondition(capacity > 0, "a channel needs room for one element")
        self.capacity = capacity
    }

    /// Appends `element`, waiting for room. False when the channel was closed meanwhile.
    package func send(_ element: Element) -> Bool {
        let sent = state.wait { state -> Bool? in
            guard !state.isClosed else { return false }
            guard state.elements.count < self.capacity else { return nil }
            state.elements.append(element)
            return true
        }
        wakeAll()
        return sent ?? false
    }

    /// Appends `element` if there is room now; never waits.
    package func trySend(_ element: Element) -> Bool {
        state.update { state in
            guard !state.isClosed, state.elements.count < capacity else { return false }
            state.elements.append(element)
            return true
        }
    }

    /// The oldest element, waiting for one; nil once the channel is closed and empty.
    package func receive() -> Element? {
        let received = state.wait { state -> Element?? in
            if let element = state.elements.popFirst() { return .some(element) }
            return state.isClosed ? .some(nil) : nil
        }
        wakeAll()
        return received ?? nil
    }

    /// Refuses further elements; those inside can still be received.
    package func close() {
        state.update { $0.isClosed = true }
    }

    private func wakeAll() {
        state.update { _ in }
    }
}
