package import WaybillModel

/// Why a call did not give its answer. Retrying is the caller's decision.
package enum ClientError: Error, Sendable {
    /// The server answered with a problem.
    case problem(Problem, status: Int)
    /// No answer came: refused, reset, timed out, name not found.
    case unreachable(String)
    /// An answer came that the contract does not allow.
    case malformed(String)

    /// The problem's code; nil for the other cases.
    package var code: String? {
        if case .problem(let problem, _) = self { problem.code } else { nil }
    }

    /// The same call may succeed later.
    package var isRetryable: Bool {
        switch self {
        case .problem(let problem, let status):
            problem.retryable || status == 408 || status == 425 || status == 429 || status >= 500
        case .unreachable: true
        case .malformed: false
        }
    }

    /// No error of a client is a reason to stop the process.
    package var isFatal: Bool { false }

    /// Seconds that the server asks to wait before the next try.
    package var retryAfter: Int? {
        if case .problem(let problem, _) = self { problem.retryAfter } else { nil }
    }

    /// For metric labels.
    package var shortDescription: String {
        switch self {
        case .problem(_, let status): "status_\(status)"
        case .unreachable: "unreachable"
        case .malformed: "malformed"
        }
    }
}

extension ClientError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .problem(let problem, let status):
            "\(problem.title) (\(status) \(problem.code)): \(problem.detail)"
        case .unreachable(let reason): "the server does not answer: \(reason)"
        case .malformed(let reason): "the server's answer is not understood: \(reason)"
        }
    }
}
