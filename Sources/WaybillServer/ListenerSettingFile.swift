internal import Foundation
internal import SystemPackage
internal import WaybillListener

/// Keeps what an operator wants of the listeners over restarts, in a file of this node: other nodes
/// of the same database have other disks and processors, and the database may be away at the start.
struct ListenerSettingFile: Sendable {
    /// With what the configuration said at that time: once it says something else, it is newer.
    private struct Content: Codable {
        var configured: Int
        var setting: ListenerSetting
    }

    let path: String
    /// Listeners at start, as configured.
    let configured: Int

    /// What an operator set last, unless the configuration was changed since; nil without either.
    ///
    /// - Throws: when the file is there and cannot be read or understood.
    func load() throws -> ListenerSetting? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        let content = try JSONDecoder().decode(Content.self, from: data)
        return content.configured == configured ? content.setting : nil
    }

    /// Durable on return.
    func keep(_ setting: ListenerSetting) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let data = try encoder.encode(Content(configured: configured, setting: setting))
        try DurableFile.write(Array(data), to: path, mode: 0o600)
    }
}
