internal import Foundation

/// Turns texts into values and collects what is wrong with them.
struct SettingReader {
    private var values: [String: SettingValue]
    private(set) var problems: [String]

    /// Refuses empty values of settings that have a default: nobody means the bottom of a range by
    /// saying nothing. An empty one without a default is not set.
    init(_ layers: SettingLayers) {
        values = layers.values
        problems = layers.problems
        for setting in Setting.catalogue {
            guard let standard = setting.defaultText, let given = values[setting.key],
                given.text.isEmpty
            else { continue }
            refuse(setting.key, "is empty; leave it out for its default, \(standard)")
            values[setting.key] = SettingValue(text: standard, origin: .standard)
        }
    }

    /// Nil when not set.
    func text(_ key: String) -> String? {
        guard let text = values[key]?.text, !text.isEmpty else { return nil }
        return text
    }

    mutating func integer(_ key: String, in range: ClosedRange<Int>) -> Int {
        guard let text = text(key) else { return range.lowerBound }
        guard let value = Int(text), range.contains(value) else {
            refuse(key, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
            return range.lowerBound
        }
        return value
    }

    /// Bytes, with an optional unit: `KiB`, `MiB`, `GiB`.
    ///
    /// - Parameter mayBeNone: 0 is good as well, though the range begins above it.
    mutating func byteCount(
        _ key: String, in range: ClosedRange<Int>, mayBeNone: Bool = false
    ) -> Int {
        guard let text = text(key) else { return range.lowerBound }
        let units: [(String, Int)] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]
        let unit = units.first { text.hasSuffix($0.0) }
        let digits = text.dropLast(unit?.0.count ?? 0).trimmingCharacters(in: .whitespaces)
        let product = Int(digits)?.multipliedReportingOverflow(by: unit?.1 ?? 1)
        guard let product, !product.overflow,
            range.contains(product.partialValue) || mayBeNone && product.partialValue == 0
        else {
            refuse(
                key,
                "must be bytes (KiB, MiB and GiB are understood) from \(range.lowerBound) "
                    + "to \(range.upperBound)" + (mayBeNone ? ", or 0" : ""))
            return range.lowerBound
        }
        return product.partialValue
    }

    /// A whole number with a unit: `s`, `m`, `h` or `d`.
    mutating func duration(_ key: String, in range: ClosedRange<Duration>) -> Duration {
        guard let text = text(key) else { return range.lowerBound }
        let units: [Character: Int] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        let product = text.last.flatMap { units[$0] }.flatMap { unit in
            Int(text.dropLast())?.multipliedReportingOverflow(by: unit)
        }
        guard let product, !product.overflow,
            range.contains(.seconds(product.partialValue))
        else {
            refuse(
                key,
                "must be a whole number with s, m, h or d, from "
                    + "\(range.lowerBound.components.seconds) s to "
                    + "\(range.upperBound.components.seconds) s")
            return range.lowerBound
        }
        return .seconds(product.partialValue)
    }

    mutating func flag(_ key: String) -> Bool {
        switch text(key) {
        case "true": return true
        case "false", nil: return false
        default:
            refuse(key, "must be true or false")
            return false
        }
    }

    mutating func choice<Value>(_ key: String, _ read: (String) -> Value?) -> Value? {
        guard let text = text(key) else { return nil }
        guard let value = read(text) else {
            refuse(key, "does not know this value")
            return nil
        }
        return value
    }

    mutating func address(_ key: String) -> SocketAddress? {
        guard let text = text(key) else { return nil }
        guard let address = SocketAddress(text) else {
            refuse(key, "must be HOST:PORT, with an IPv6 host in brackets")
            return nil
        }
        return address
    }

    mutating func url(_ key: String) -> String? {
        guard let text = text(key) else { return nil }
        guard let url = URL(string: text), let scheme = url.scheme, url.host() != nil,
            ["http", "https"].contains(scheme), url.query() == nil, url.fragment() == nil
        else {
            refuse(key, "must be an http or https URL without query and fragment")
            return nil
        }
        return text.hasSuffix("/") ? String(text.dropLast()) : text
    }

    /// The path made absolute from the current directory.
    func absolutePath(_ key: String) -> String? {
        guard let text = text(key) else { return nil }
        return URL(filePath: text).standardizedFileURL.path(percentEncoded: false)
    }

    /// Paths, separated by commas, made absolute from the current directory.
    func absolutePaths(_ key: String) -> [String] {
        guard let text = text(key) else { return [] }
        return text.split(separator: ",").map { item in
            let path = item.trimmingCharacters(in: .whitespaces)
            return URL(filePath: path).standardizedFileURL.path(percentEncoded: false)
        }
    }

    mutating func readableFile(_ key: String) -> String? {
        guard let path = absolutePath(key) else { return nil }
        guard FileManager.default.isReadableFile(atPath: path) else {
            refuse(key, "the file cannot be read")
            return nil
        }
        return path
    }

    mutating func ranges(_ key: String) -> [AddressRange] {
        guard let text = text(key) else { return [] }
        return text.split(separator: ",").compactMap { item in
            let item = item.trimmingCharacters(in: .whitespaces)
            if let range = AddressRange(item) { return range }
            refuse(key, "\(item) is not a CIDR such as 10.0.0.0/8")
            return nil
        }
    }

    /// Origins as browsers write them, separated by commas.
    mutating func origins(_ key: String) -> Set<String> {
        guard let text = text(key) else { return [] }
        // Browsers write hosts of the web in lower case. Web views have schemes of their own, and
        // some leave out the host.
        let web = /https?:\/\/([a-z0-9.\-_]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/
        let view = /(?!https?:)[a-z][a-z0-9+.\-]*:\/\/[A-Za-z0-9.\-_]*(:[0-9]{1,5})?/
        let items = text.split(separator: ",", omittingEmptySubsequences: false)
        return Set(
            items.compactMap { item in
                let item = item.trimmingCharacters(in: .whitespaces)
                let isOrigin = item.wholeMatch(of: web) != nil || item.wholeMatch(of: view) != nil
                let saysOwnPort = ["http": ":80", "https": ":443"].contains { scheme, port in
                    item.hasPrefix(scheme + "://") && item.hasSuffix(port)
                }
                if item == "*" || item == "null" || isOrigin && !saysOwnPort { return item }
                refuse(
                    key,
                    "\(item) is not an origin as browsers write it, such as https://app.example or "
                        + "http://localhost:8100, nor null, nor *")
                return nil
            })
    }

    private mutating func refuse(_ key: String, _ why: String) {
        let origin = values[key]?.origin.rawValue ?? ""
        problems.append("\(key) (\(origin)): \(why)")
    }
}
