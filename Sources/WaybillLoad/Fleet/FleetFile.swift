internal import Foundation
internal import SystemPackage
internal import WaybillModel

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Devices with their tokens and secrets, as JSON.
struct FleetFile: Codable {
    var version = 1
    /// Without `/v1`, as the run was told it.
    var deviceURL: String
    var tenant: TenantSlug
    var devices: [LoadDevice]

    init(deviceURL: String, tenant: TenantSlug, devices: [LoadDevice]) {
        self.deviceURL = deviceURL
        self.tenant = tenant
        self.devices = devices
    }

    enum CodingKeys: String, CodingKey {
        case version, tenant, devices
        case deviceURL = "device_url"
    }

    /// Nil if there is none.
    static func read(_ path: String) throws -> FleetFile? {
        let file: FileDescriptor
        do {
            file = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec])
        } catch let error as Errno where error == .noSuchFileOrDirectory {
            return nil
        }
        let bytes = try file.closeAfter { try readAll(file) }
        guard let saved = try? JSONDecoder().decode(FleetFile.self, from: Data(bytes)),
            saved.version == 1
        else { throw FleetFault.unreadableFile(path) }
        return saved
    }

    /// Replaces the file in one step; nobody else may read it at any moment.
    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let bytes = Array(try encoder.encode(self))
        let draft = "\(path).\(getpid()).new"
        // Left of a process of the same number that was killed here.
        unlink(draft)
        let file = try FileDescriptor.open(
            FilePath(draft), .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
            permissions: [.ownerReadWrite])
        try file.closeAfter { _ = try file.writeAll(bytes) }
        guard rename(draft, path) == 0 else {
            let error = Errno(rawValue: errno)
            unlink(draft)
            throw error
        }
    }

    private static func readAll(_ file: FileDescriptor) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = try chunk.withUnsafeMutableBytes { try file.read(into: $0) }
            guard count > 0 else { return bytes }
            bytes += chunk[..<count]
        }
    }
}
