/// What stands in segment files, as the description of the format has it; reads clear bytes only.
struct DiskImage {
    struct Frame: Equatable {
        let path: String
        /// In the file.
        let bytes: Range<Int>
        let sequence: UInt64
        let type: UInt16
        /// All before was synced when the frame was written.
        let synced: Int
    }

    static let recordsOffset = 8192
    static let copyOffset = 4096
    static let headerBytes = 512
    private static let clearBytes = 32
    private static let tagBytes = 16
    private static let namesType: UInt16 = 0xff04
    private static let closingType: UInt16 = 0xff03

    /// Contents of segment files by path; those of other files are left out.
    let segments: [(path: String, content: [UInt8], frames: [Frame])]

    init(_ disk: SimulatedDisk) {
        segments = disk.names.filter { $0.hasSuffix(".seg") }.compactMap { path in
            disk.content(path).map { (path, $0, Self.frames(path, $0)) }
        }
    }

    var frames: [Frame] { segments.flatMap(\.frames) }

    /// The segments with at least one record of a caller in them.
    var used: [(path: String, content: [UInt8], frames: [Frame])] {
        segments.filter { $0.frames.contains { $0.type < 0xff00 } }
    }

    static func frames(_ path: String, _ content: [UInt8]) -> [Frame] {
        var frames: [Frame] = []
        var start = recordsOffset
        while start + clearBytes <= content.count,
            content[start..<start + 4].elementsEqual("WREC".utf8)
        {
            let end = start + clearBytes + integer(content, start + 4, 4) + tagBytes
            guard end <= content.count else { break }
            frames.append(
                Frame(
                    path: path, bytes: start..<end,
                    sequence: UInt64(integer(content, start + 8, 8)),
                    type: UInt16(integer(content, start + 24, 2)),
                    synced: integer(content, start + 20, 4)))
            start = end
        }
        return frames
    }

    /// Whether a later frame says that this one was synced: then its damage is no torn tail.
    func isVouchedFor(_ frame: Frame) -> Bool {
        let behind = segments.first { $0.path == frame.path }?.frames ?? []
        if segments.last?.path != frame.path { return true }
        return behind.contains { $0.synced > frame.bytes.lowerBound && $0 != frame }
    }

    /// Whether a later frame of its segment holds the names of the batch that it was written with.
    func isNamed(_ frame: Frame) -> Bool {
        let behind = segments.first { $0.path == frame.path }?.frames ?? []
        return behind.contains {
            $0.type == Self.namesType && $0.synced > frame.bytes.lowerBound
        }
    }

    private static func integer(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> Int {
        (0..<count).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
}
