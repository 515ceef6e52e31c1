/// Random access to the bytes of a part, in memory or in a file.
package protocol ArchiveSource {
    /// Fixed while the source is read.
    var byteCount: Int { get }

    /// Exactly `count` bytes from `offset` on; the caller stays within `byteCount`.
    ///
    /// A source that cannot deliver them throws. May block.
    func read(at offset: Int, count: Int) throws -> [UInt8]
}

/// A part that lies in memory.
package struct MemorySource: ArchiveSource, Sendable {
    private let bytes: ArraySlice<UInt8>

    package init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
    }

    package var byteCount: Int { bytes.count }

    package func read(at offset: Int, count: Int) -> [UInt8] {
        let start = bytes.startIndex + offset
        return Array(bytes[start..<start + count])
    }
}
