/// Why a report cannot be read or written, or an objective not be understood.
package enum ReportFault: Error, Equatable, Sendable {
    /// Not JSON, or JSON of something else.
    case notAReport(String)
    /// Written by another version of the program.
    case version(Int)
    /// A figure is infinite or no number, which JSON cannot hold; where it stands.
    case notFinite(String)
    /// What was given, and what is wrong with it.
    case objective(String, String)

    /// The same file or text will not do better the next time.
    package var isRetryable: Bool { false }

    /// Only the report is spoilt, nothing else.
    package var isFatal: Bool { false }

    /// For metric labels.
    package var shortDescription: String {
        switch self {
        case .notAReport: "not_a_report"
        case .version: "version"
        case .notFinite: "not_finite"
        case .objective: "objective"
        }
    }
}

extension ReportFault: CustomStringConvertible {
    package var description: String {
        switch self {
        case .notAReport(let reason): "is no report of a load run: \(reason)"
        case .version(let version):
            "has version \(version); this program reads version \(LoadReport.currentVersion)"
        case .notFinite(let place): "the figure at \(place) is not finite"
        case .objective(let text, let reason): "objective '\(text)': \(reason)"
        }
    }
}
