internal import Foundation

/// The places a value can come from, strongest first.
enum SettingOrigin: String, Sendable, CaseIterable {
    case commandLine = "command line"
    case environment
    case secrets = "secrets directory"
    case file = "configuration file"
    case standard = "default"
}

/// A value and where it came from.
struct SettingValue: Sendable, Equatable {
    let text: String
    let origin: SettingOrigin
}

/// All that is wrong with a configuration, told at once. Exit code 78.
struct ConfigurationFault: Error, CustomStringConvertible {
    let problems: [String]

    var description: String { problems.joined(separator: "\n") }
}

/// Reads the layers and resolves each setting from the strongest one that has it.
struct SettingLayers: Sendable {
    private(set) var values: [String: SettingValue] = [:]
    private(set) var problems: [String] = []

    /// Environment variables with our prefix that are not settings.
    private static let otherVariables: Set<String> = [
        "WAYBILL_CONFIG", "WAYBILL_SECRETS_DIR", "WAYBILL_ADMIN_TOKEN", "WAYBILL_BIN",
        "WAYBILL_STRICT",
    ]

    /// - Parameters:
    ///   - commandLine: options as given, by key.
    ///   - settings: `--set` options, keys and texts in their order; options of `commandLine` win.
    ///   - environment: the process's environment; `WAYBILL_CONFIG` and `WAYBILL_SECRETS_DIR` name
    ///     the file and the directory where the command line does not.
    init(
        commandLine: [String: String], settings: [(key: String, text: String)] = [],
        environment: [String: String], file: String? = nil, secretsDirectory: String? = nil
    ) {
        let given = commandLine.merging(readSettings(settings)) { option, _ in option }
        var layers: [(SettingOrigin, [String: String])] = [(.commandLine, given)]
        layers.append((.environment, readEnvironment(environment)))
        if let directory = secretsDirectory ?? environment["WAYBILL_SECRETS_DIR"] {
            layers.append((.secrets, readSecrets(directory)))
        }
        if let file = file ?? environment["WAYBILL_CONFIG"] {
            layers.append((.file, readFile(file)))
        }
        for setting in Setting.catalogue {
            for (origin, layer) in layers where values[setting.key] == nil {
                if let text = layer[setting.key] {
                    values[setting.key] = SettingValue(text: text, origin: origin)
                }
            }
            if values[setting.key] == nil, let text = setting.defaultText {
                values[setting.key] = SettingValue(text: text, origin: .standard)
            }
        }
    }

    private mutating func readSettings(
        _ settings: [(key: String, text: String)]
    ) -> [String: String] {
        var layer: [String: String] = [:]
        for (key, text) in settings where isKnown(key, in: "command line") {
            guard layer[key] == nil else {
                problems.append("command line: \(key) is set twice")
                continue
            }
            layer[key] = text
        }
        return layer
    }

    private mutating func readEnvironment(_ environment: [String: String]) -> [String: String] {
        var layer: [String: String] = [:]
        for (name, text) in environment.sorted(by: { $0.key < $1.key })
        where name.hasPrefix("WAYBILL_") && !name.hasPrefix("WAYBILL_TEST_")
            && !Self.otherVariables.contains(name)
        {
            guard let setting = Setting.catalogue.first(where: { $0.environmentName == name })
            else {
                problems.append("environment: \(name) is not a setting")
                continue
            }
            layer[setting.key] = text
        }
        return layer
    }

    private mutating func readSecrets(_ directory: String) -> [String: String] {
        var layer: [String: String] = [:]
        do {
            let names = try FileManager.default.contentsOfDirectory(atPath: directory)
            // Kubernetes keeps its links under names that begin with two dots.
            for name in names.sorted() where !name.hasPrefix(".") {
                guard isKnown(name, in: "secrets directory") else { continue }
                let text = try String(contentsOfFile: directory + "/" + name, encoding: .utf8)
                layer[name] = text.trimmingCharacters(in: .whitespacesAndNewlines)
            }
        } catch {
            problems.append("secrets directory: \(directory) cannot be read")
        }
        return layer
    }

    /// Lines `key = value`; blank lines and lines that begin with `#` say nothing.
    private mutating func readFile(_ path: String) -> [String: String] {
        guard let content = FileManager.default.contents(atPath: path) else {
            problems.append("configuration file: \(path) cannot be read")
            return [:]
        }
        var layer: [String: String] = [:]
        let lines = String(decoding: content, as: UTF8.self).split(
            separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let line = line.trimmingCharacters(in: .whitespaces)
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            let place = "configuration file, line \(index + 1)"
            guard let equals = line.firstIndex(of: "=") else {
                problems.append("\(place): expected `key = value`")
                continue
            }
            let key = line[..<equals].trimmingCharacters(in: .whitespaces)
            let text = line[line.index(after: equals)...].trimmingCharacters(in: .whitespaces)
            guard isKnown(key, in: place) else { continue }
            guard layer[key] == nil else {
                problems.append("\(place): \(key) stands there twice")
                continue
            }
            layer[key] = text
        }
        return layer
    }

    private mutating func isKnown(_ key: String, in place: String) -> Bool {
        if Setting.catalogue.contains(where: { $0.key == key }) { return true }
        problems.append("\(place): \(key) is not a setting")
        return false
    }
}
