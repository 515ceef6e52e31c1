internal import Foundation

extension LoadReport.Machine {
    /// The machine that this process runs on, as far as it tells.
    package static func current() -> LoadReport.Machine {
        let information = ProcessInfo.processInfo
        return LoadReport.Machine(
            cores: information.activeProcessorCount,
            memoryBytes: Int(clamping: information.physicalMemory),
            processor: processorName() ?? "unknown",
            system: information.operatingSystemVersionString)
    }

    /// The first processor's name in `/proc/cpuinfo`.
    private static func processorName() -> String? {
        // A machine that does not tell is still a machine: its report says "unknown".
        guard let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8) else {
            return nil
        }
        let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
        return line?.split(separator: ":", maxSplits: 1).last
            .map { $0.trimmingCharacters(in: .whitespaces) }
    }
}
