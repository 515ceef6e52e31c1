internal import Foundation
internal import WaybillModel

/// Figures as people read them; the same on every machine and in every language setting.
package enum FigureText {
    /// `1,234,567`.
    package static func count(_ value: Int) -> String {
        let digits = Array(String(value.magnitude))
        var text = value < 0 ? "−" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }

    /// Three significant digits, all of them before the point: `0.0123`, `1.23`, `12,346`.
    package static func number(_ value: Double) -> String {
        guard value.isFinite else { return "–" }
        guard value != 0 else { return "0" }
        let magnitude = Int(log10(abs(value)).rounded(.down))
        return trimmed(decimal(value, places: max(0, min(9, 2 - magnitude))))
    }

    /// `850 µs`, `12.3 ms`, `1.23 s`, `5 min 2 s`.
    package static func milliseconds(_ value: Double) -> String {
        switch abs(value) {
        case 0: "0 ms"
        case ..<0.9995: number(value * 1000) + " µs"
        case ..<999.5: number(value) + " ms"
        case ..<119_950: number(value / 1000) + " s"
        default: seconds(value / 1000)
        }
    }

    /// `45 s`, `5 min`, `1 h 2 min`.
    package static func seconds(_ value: Double) -> String {
        guard abs(value) >= 119.95, abs(value) < 1e9 else { return number(value) + " s" }
        let whole = Int(value.rounded())
        let parts = [(whole / 3600, "h"), (whole / 60 % 60, "min"), (whole % 60, "s")]
        return parts.filter { $0.0 != 0 }.prefix(2).map { "\($0.0) \($0.1)" }
            .joined(separator: " ")
    }

    /// `123 MiB`, `1.23 GiB`.
    package static func bytes(_ value: Double) -> String {
        var rest = value
        for unit in ["B", "KiB", "MiB", "GiB"] {
            if abs(rest) < 1000 { return number(rest) + " " + unit }
            rest /= 1024
        }
        return number(rest) + " TiB"
    }

    /// Of a share: `12.3 %`.
    package static func percent(_ share: Double) -> String { number(share * 100) + " %" }

    /// Of a change: `+1.2 %`, `−0.4 %`.
    package static func change(_ share: Double) -> String {
        let places = abs(share) >= 0.995 ? 0 : 1
        let text = decimal(share * 100, places: places)
        return (text.hasPrefix("−") || text == decimal(0, places: places) ? "" : "+") + text + " %"
    }

    /// For an axis: `0`, `500`, `1.5k`, `2M`.
    package static func short(_ value: Double) -> String {
        switch abs(value) {
        case ..<10_000: number(value)
        case ..<1_000_000: number(value / 1000) + "k"
        case ..<1_000_000_000: number(value / 1_000_000) + "M"
        default: number(value / 1_000_000_000) + "G"
        }
    }

    /// `2026-11-21 13:48 UTC`.
    static func minute(_ time: Timestamp) -> String {
        time.description.prefix(16).replacing("T", with: " ") + " UTC"
    }

    /// With that many decimals, and commas before the point.
    package static func decimal(_ value: Double, places: Int) -> String {
        let scale = pow(10, Double(places))
        let scaled = (abs(value) * scale).rounded()
        guard scaled < 9e18 else { return "\(value)" }
        let whole = Int(scaled)
        let unit = Int(scale)
        let sign = value < 0 && whole != 0 ? "−" : ""
        guard places > 0 else { return sign + count(whole) }
        let fraction = String(whole % unit)
        return sign + count(whole / unit) + "."
            + String(repeating: "0", count: places - fraction.count) + fraction
    }

    private static func trimmed(_ text: String) -> String {
        guard text.contains(".") else { return text }
        var text = Substring(text)
        while text.hasSuffix("0") { text = text.dropLast() }
        return String(text.hasSuffix(".") ? text.dropLast() : text)
    }
}
