/// The pixels of a drawing: one for a page, one for a phone.
struct ChartFrame {
    let name: String
    let width: Double
    /// Of the plot alone.
    let plotHeight: Double
    let left: Double
    let right: Double
    let bottom: Double
    let labelRows: Int
    /// Names below the plot.
    let xTicks: Int
    let yTicks: Int
    /// Strips that tell their values; a phone has no pointer to ask with.
    let tooltips: Int
    /// Marks are named by their number alone.
    let numbersOnly: Bool

    static let wide = ChartFrame(
        name: "wide", width: 960, plotHeight: 220, left: 74, right: 16, bottom: 44, labelRows: 4,
        xTicks: 12, yTicks: 6, tooltips: 120, numbersOnly: false)

    static let narrow = ChartFrame(
        name: "narrow", width: 400, plotHeight: 190, left: 58, right: 10, bottom: 42,
        labelRows: 3, xTicks: 5, yTicks: 5, tooltips: 0, numbersOnly: true)

    static let all = [wide, narrow]

    var plotWidth: Double { width - left - right }
}
