internal import Foundation
internal import Synchronization
internal import WaybillLoad

/// A run's progress on standard error: one line that is drawn again on a terminal, elsewhere a line
/// at each new phase and every ten seconds.
final class LoadProgressLine: Sendable {
    private struct State {
        var phase: LoadProgress.Phase?
        var lastShown: ContinuousClock.Instant?
        var isOpen = false
    }

    private static let width = 24
    private static let interval = Duration.seconds(10)
    private let isTerminal = isatty(2) == 1
    private let state = Mutex(State())

    func show(_ progress: LoadProgress) {
        state.withLock { state in
            let isNew = state.phase != progress.phase
            let now = ContinuousClock.now
            if !isTerminal, !isNew {
                guard progress.sample != nil, let last = state.lastShown,
                    now - last >= Self.interval
                else { return }
            }
            state.lastShown = now
            if isTerminal {
                write((isNew && state.isOpen ? "\n" : "") + "\r\u{1b}[K" + Self.line(progress))
                state.isOpen = true
            } else {
                write(Self.line(progress) + "\n")
            }
            state.phase = progress.phase
        }
    }

    /// Ends the line that is open on a terminal.
    func finish() {
        state.withLock { state in
            if state.isOpen { write("\n") }
            state.isOpen = false
        }
    }

    static func line(_ progress: LoadProgress) -> String {
        var words = [progress.phase.words]
        if let share = progress.share {
            let filled = Int((share * Double(width)).rounded(.down))
            words.append(
                String(repeating: "█", count: min(width, max(0, filled)))
                    + String(repeating: "·", count: width - min(width, max(0, filled)))
                    + " \(Int(share * 100)) %")
        }
        if let sample = progress.sample {
            words.append("\(sample.acknowledged) acknowledged/s")
            words.append("\(sample.settled) settled/s")
            words.append("\(sample.transactionsSettled) tx/s")
            if let p99 = sample.ackP99 { words.append("ack p99 \(Self.milliseconds(p99))") }
            words.append("backlog " + (sample.backlog.map(String.init) ?? "?"))
            words.append("errors \(progress.errors)")
        }
        return words.joined(separator: "  ")
    }

    static func milliseconds(_ value: Double) -> String {
        value < 10
            ? String(format: "%.2f ms", value)
            : value < 1000
                ? String(format: "%.0f ms", value) : String(format: "%.2f s", value / 1000)
    }

    private func write(_ text: String) {
        FileHandle.standardError.write(Data(text.utf8))
    }
}
