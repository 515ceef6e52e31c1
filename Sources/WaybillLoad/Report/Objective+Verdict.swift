extension Objective {
    /// Whether the run kept this limit; a figure that it does not have is not met.
    package func judge(_ report: LoadReport) -> ObjectiveVerdict {
        let measured = figure.value(in: report)
        return ObjectiveVerdict(
            objective: text, measured: measured,
            isMet: measured.map { relation.holds($0, limit) } ?? false)
    }

    /// The verdicts on all of them, in their order.
    package static func judge(_ objectives: [Objective], _ report: LoadReport)
        -> [ObjectiveVerdict]
    {
        objectives.map { $0.judge(report) }
    }

    /// Reads all of them; all that cannot be understood are told at once.
    package static func parse(_ texts: [String]) -> (objectives: [Objective], faults: [ReportFault])
    {
        var objectives: [Objective] = []
        var faults: [ReportFault] = []
        for text in texts {
            do {
                objectives.append(try Objective(text))
            } catch {
                faults.append(error)
            }
        }
        return (objectives, faults)
    }
}

extension ObjectiveVerdict {
    /// What was measured, with its unit, for people.
    package var measuredText: String {
        guard let measured else { return "not measured" }
        let figure: ObjectiveFigure
        do {
            figure = try Objective(objective).figure
        } catch {
            // A report may hold objectives of a later program; the figure alone is then shown.
            return FigureText.number(measured)
        }
        return switch figure.dimension {
        case .time: FigureText.milliseconds(measured)
        case .count: FigureText.decimal(measured, places: 0)
        case .share: FigureText.percent(measured)
        case .rate: FigureText.number(measured) + "/s"
        case .bytes: FigureText.bytes(measured)
        }
    }
}
