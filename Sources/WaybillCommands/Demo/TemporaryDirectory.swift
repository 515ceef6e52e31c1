internal import Foundation

/// A directory that lives as long as some work.
enum TemporaryDirectory {
    /// Makes a fresh directory and removes it when `work` has ended; after a failure it is kept, since
    /// the reason may lie in it.
    ///
    /// Others may pass through but not look: a database server that root starts runs as another user
    /// and must reach its own files below.
    static func with<Result>(
        prefix: String, _ work: (String) async throws -> Result
    ) async throws -> Result {
        var template = Array(
            "\(FileManager.default.temporaryDirectory.path)/\(prefix)-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw CommandFailure(.failed, "no temporary directory can be made (errno \(errno))")
        }
        let path = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard chmod(path, 0o711) == 0 else {
            throw CommandFailure(.failed, "\(path) cannot be opened up (errno \(errno))")
        }
        do {
            let result = try await work(path)
            remove(path)
            return result
        } catch let error as Interruption.Stopped {
            remove(path)
            throw error
        } catch {
            Console.note("the data is kept in \(path)")
            throw error
        }
    }

    private static func remove(_ path: String) {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            Console.note("\(path) could not be removed: \(error)")
        }
    }
}
