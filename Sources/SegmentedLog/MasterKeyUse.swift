#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Which master keys the segments in a directory were made under, as their headers say.
///
/// Nothing is verified: it tells an operator which key files an opening will want.
package struct MasterKeyUse: Sendable, Equatable {
    /// Segments' numbers and the ids of their keys, 16 hexadecimal digits each.
    package let keyIDs: [UInt64: String]

    /// The ids, that of the newest segment first; each once.
    package var newestFirst: [String] {
        var seen: Set<String> = []
        return keyIDs.sorted { $0.key > $1.key }.map(\.value).filter { seen.insert($0).inserted }
    }

    /// Reads every segment's header; blocks. Segments of other logs, and those whose headers are
    /// damaged, want no key and are left out.
    ///
    /// - Throws: ``LogError/io(errno:operation:)``, ``LogError/unreadable(_:)``.
    package static func read(
        _ directory: String, fileSystem: any FileSystem = PosixFileSystem()
    ) throws(LogError) -> MasterKeyUse {
        var headers: [UInt64: SegmentHeader] = [:]
        for number in try fileSystem.list(directory).compactMap({ SegmentName.number($0) }) {
            guard let file = try open(number, directory, fileSystem) else { continue }
            for offset in [0, SegmentHeader.copyOffset] where headers[number] == nil {
                let bytes = try file.read(at: offset, count: SegmentHeader.byteCount)
                headers[number] = try SegmentHeader.decode(bytes[...])
            }
        }
        headers = headers.filter { $0.key == $0.value.segment }
        let newest = headers.max { $0.key < $1.key }?.value
        let logID = try identity(directory, fileSystem) ?? newest?.logID
        return MasterKeyUse(
            keyIDs: headers.filter { $0.value.logID == logID }
                .mapValues { MasterKey.text(of: $0.keyID) })
    }

    /// Nil for a segment that was deleted meanwhile.
    private static func open(
        _ number: UInt64, _ directory: String, _ fileSystem: any FileSystem
    ) throws(LogError) -> (any OpenFile)? {
        do throws(LogError) {
            return try fileSystem.open(SegmentName.path(in: directory, number), .existing)
        } catch {
            guard case .io(ENOENT, _) = error else { throw error }
            return nil
        }
    }

    private static func identity(
        _ directory: String, _ fileSystem: any FileSystem
    ) throws(LogError) -> [UInt8]? {
        guard try fileSystem.list(directory).contains("identity") else { return nil }
        let file = try fileSystem.open(directory + "/identity", .existing)
        return try LogIdentity.decode(file.read(at: 0, count: LogIdentity.byteCount)[...])?.logID
    }
}
