/// Where a disk queue lives and how it behaves.
package struct DiskQueueOptions: Sendable {
    /// The log's directory; made (mode 0700) if it is missing, its parent must exist.
    package var directory: String
    /// 32 bytes; wraps the key of each segment.
    package var masterKey: [UInt8]
    /// Keys of 32 bytes that were master keys before; segments made under them still open.
    package var previousMasterKeys: [[UInt8]] = []
    /// A segment that has grown to this is closed and a new one begun.
    package var segmentBytes = 64 << 20
    /// Allocated beyond it, for settlements on a full disk.
    package var reserveBytes = 1 << 20
    /// New bundles are refused when the disk has less room; settling goes on. 0 for no floor.
    package var freeBytesFloor = 0
    /// One record, with its inline parts.
    package var recordBytesMax = 16 << 20
    /// A larger bundle is a lease of its own, as is one of several parts.
    package var sharedLeaseBytesMax = 8 << 20
    /// For how long ``DiskQueue/find(_:)`` remembers settled bundles.
    package var settledRetention: Duration = .seconds(900)
    /// How many settled bundles are remembered at most.
    package var settledEntriesMax = 100_000

    package init(directory: String, masterKey: [UInt8]) {
        self.directory = directory
        self.masterKey = masterKey
    }
}
