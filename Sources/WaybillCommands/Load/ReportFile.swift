internal import Foundation
internal import WaybillLoad

/// Reports of load runs as files.
enum ReportFile {
    /// - Parameter path: `-` is standard input.
    static func read(_ path: String) throws -> LoadReport {
        let bytes = try InputFile.read(path)
        do {
            return try LoadReport(json: bytes)
        } catch {
            throw CommandFailure(.failed, "\(path) \(error)")
        }
    }

    /// - Parameter path: `-` is standard output.
    static func write(_ text: String, to path: String) throws {
        if path == "-" { return Console.write(text.utf8) }
        do {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        } catch {
            throw CommandFailure(.failed, "\(path) cannot be written")
        }
    }
}
