package import WaybillModel
package import WaybillStore

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// What lies in the directory of dead letters at one moment: names, sizes and ages.
package struct DeadLetterContents: Sendable, Equatable {
    /// All files of one letter.
    package struct Entry: Sendable, Equatable {
        package let device: DeviceID
        package var byteCount: Int
        /// Of the newest of its files.
        package var modifiedAt: Timestamp
        package var fileNames: [String]
    }

    /// Of all files, those with unknown names included.
    package var byteCount = 0
    /// By the letters' file names, without the number of the part.
    package var entries: [String: Entry] = [:]

    mutating func add(_ name: String, _ status: stat) {
        byteCount += Int(status.st_size)
        guard let letter = DeadLetterName(name) else { return }
        #if canImport(Glibc)
            let time = status.st_mtim
        #else
            let time = status.st_mtimespec
        #endif
        let modifiedAt = Timestamp(
            microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
        var entry =
            entries[letter.base]
            ?? Entry(device: letter.device, byteCount: 0, modifiedAt: modifiedAt, fileNames: [])
        entry.byteCount += Int(status.st_size)
        entry.modifiedAt = max(entry.modifiedAt, modifiedAt)
        entry.fileNames.append(name)
        entries[letter.base] = entry
    }
}

extension StoredDeadLetter {
    /// The names of its files, in part order.
    package var partFileNames: [String] {
        (1...max(1, partByteCounts.count)).map { DeadLetterFiles.partName(fileName, $0) }
    }
}

/// `<device>-<bundle>-<16 digits of the digest>.<part>`, as ``DeadLetterFiles`` calls its files.
struct DeadLetterName {
    let base: String
    let device: DeviceID

    /// Nil for any other name: such a file is left alone.
    init?(_ name: String) {
        guard let dot = name.lastIndex(of: "."), let part = Int(name[name.index(after: dot)...]),
            (1...1000).contains(part)
        else { return nil }
        let base = name[..<dot]
        let fields = base.utf8
        guard fields.count == 36 + 1 + 36 + 1 + 16, let device = DeviceID(base.prefix(36)),
            base.dropFirst(36).first == "-", BundleID(base.dropFirst(37).prefix(36)) != nil,
            base.dropFirst(73).first == "-"
        else { return nil }
        self.base = String(base)
        self.device = device
    }
}
