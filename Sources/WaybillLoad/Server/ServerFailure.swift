/// What went wrong with a server that a run started itself, or with what its chaos needs.
package enum ServerFailure: Error, Sendable {
    /// It ended and nobody had asked it to, or it could not start; with the end of its log.
    case ended(status: String, lastWords: String)
    /// It was told to stop in order and did not exit with 0.
    case stoppedBadly(status: String, lastWords: String)
    /// It runs and does not get ready.
    case notReady(seconds: Int, lastWords: String)
    /// Something that ought to come back did not.
    case staysAway(String)
    /// This machine or this user cannot do what the plan asks for.
    case impossible(String)
    /// A program or a call that chaos needs failed.
    case toolFailed(String)

    /// The same run may succeed at another time.
    package var isRetryable: Bool { false }

    /// The run cannot go on.
    package var isFatal: Bool { true }

    /// For metric labels.
    package var shortDescription: String {
        switch self {
        case .ended: "ended"
        case .stoppedBadly: "stopped_badly"
        case .notReady: "not_ready"
        case .staysAway: "stays_away"
        case .impossible: "impossible"
        case .toolFailed: "tool_failed"
        }
    }
}

extension ServerFailure: CustomStringConvertible {
    package var description: String {
        switch self {
        case .ended(let status, let words):
            "the server ended by itself (\(status)); its last words: \(words)"
        case .stoppedBadly(let status, let words):
            "the server was told to stop and ended with \(status); its last words: \(words)"
        case .notReady(let seconds, let words):
            "the server was not ready after \(seconds) s; its last words: \(words)"
        case .staysAway(let what): "\(what)"
        case .impossible(let why): "\(why)"
        case .toolFailed(let what): "\(what)"
        }
    }
}
