internal import Foundation
internal import Synchronization

/// Progress on standard error: a bar on a terminal, a line for each tenth elsewhere.
final class ProgressLine: Sendable {
    private struct State {
        var done = 0
        var shown = -1
    }

    private static let width = 30
    private let title: String
    private let total: Int
    private let isTerminal = isatty(2) == 1
    private let state = Mutex(State())

    init(_ title: String, total: Int) {
        self.title = title
        self.total = total
    }

    /// Counts one more; how many are done.
    @discardableResult
    func advance() -> Int {
        state.withLock { state in
            state.done += 1
            let steps = isTerminal ? 100 : 10
            let step = total > 0 ? state.done * steps / total : steps
            if step != state.shown {
                state.shown = step
                show(state.done)
            }
            return state.done
        }
    }

    private func show(_ done: Int) {
        let text: String
        if isTerminal {
            let filled = total > 0 ? done * Self.width / total : Self.width
            let bar =
                String(repeating: "█", count: filled)
                + String(repeating: "·", count: Self.width - filled)
            text = "\r\(title) \(bar) \(done)/\(total)" + (done == total ? "\n" : "")
        } else {
            text = "\(title) \(done)/\(total)\n"
        }
        FileHandle.standardError.write(Data(text.utf8))
    }
}
