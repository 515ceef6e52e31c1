internal import Foundation

/// One process as `/proc/PID/stat` tells it (proc_pid_stat(5)).
struct ProcessReading: Sendable, Equatable {
    var processID: Int32
    var parentID: Int32
    /// `Z`: it has ended and waits for its parent.
    var state: Character
    /// Since the machine's start, in ticks; together with the number it names a process for good.
    var startTicks: UInt64
    var cpuSeconds: Double
    /// Of children that were waited for.
    var childrenCPUSeconds: Double
    var residentBytes: Int

    /// - Parameter text: the file's one line. The program's name in it may hold anything.
    init?(_ text: String, ticksPerSecond: Double, pageBytes: Int) {
        guard let opening = text.firstIndex(of: "("), let closing = text.lastIndex(of: ")"),
            opening < closing,
            let number = Int32(text[..<opening].trimmingCharacters(in: .whitespaces))
        else { return nil }
        let fields = text[text.index(after: closing)...].split(separator: " ")
        // The manual counts from 1, and the first one here is its third.
        guard fields.count > 21, let state = fields[0].first, let parent = Int32(fields[1]),
            let user = Double(fields[11]), let system = Double(fields[12]),
            let childUser = Double(fields[13]), let childSystem = Double(fields[14]),
            let start = UInt64(fields[19]), let pages = Int(fields[21])
        else { return nil }
        processID = number
        parentID = parent
        self.state = state
        startTicks = start
        cpuSeconds = (user + system) / ticksPerSecond
        childrenCPUSeconds = (childUser + childSystem) / ticksPerSecond
        residentBytes = pages * pageBytes
    }
}

/// Where processes are looked up.
protocol ProcessSource {
    func process(_ processID: Int32) -> ProcessReading?
    func children(of processID: Int32) -> [ProcessReading]
}

/// The machine's processes; none where there is no `/proc`.
struct ProcessTable: ProcessSource {
    private static let ticksPerSecond = Double(sysconf(Int32(_SC_CLK_TCK)))
    private static let pageBytes = sysconf(Int32(_SC_PAGESIZE))

    func process(_ processID: Int32) -> ProcessReading? {
        let path = "/proc/\(processID)/stat"
        // A process may end while it is looked at: then there is none.
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        return ProcessReading(
            text, ticksPerSecond: Self.ticksPerSecond, pageBytes: Self.pageBytes)
    }

    func children(of processID: Int32) -> [ProcessReading] {
        all().filter { $0.parentID == processID }
    }

    /// PostgreSQL servers whose command line names something in that folder. Where they work cannot
    /// be seen: their file system may be one that only they have.
    func servers(of folder: String) -> [Int32] {
        numbers().filter { number in
            // A process may end while it is looked at: then it is none of these.
            let line = try? String(contentsOfFile: "/proc/\(number)/cmdline", encoding: .utf8)
            let words = (line ?? "").split(separator: "\0")
            return words.first?.hasSuffix("/postgres") == true
                && words.contains { $0.hasPrefix(folder) }
        }
    }

    private func all() -> [ProcessReading] {
        numbers().compactMap { process($0) }
    }

    private func numbers() -> [Int32] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { Int32($0) }
    }
}
