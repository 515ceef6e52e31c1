/// Where a log lives and what it may take.
package struct LogOptions: Sendable {
    /// Made with mode 0700 if it is missing; its parent must exist.
    package var directory: String
    /// Wraps the keys of new segments.
    package var masterKey: MasterKey
    /// Further keys that open older segments.
    package var previousMasterKeys: [MasterKey] = []
    /// A segment is closed before a batch that would have it grow beyond this; a batch that is larger gets
    /// a larger one. At most 2 GiB with the reserve.
    package var segmentBytes = 64 << 20
    /// The first segment after an opening is no larger than this: it is filled with zeros before the
    /// opening returns, and an opening should not take long.
    package var firstSegmentBytes = 8 << 20
    /// Allocated beyond `segmentBytes`, for control records on a full disk.
    package var reserveBytes = 1 << 20
    /// One payload.
    package var recordBytesMax = 16 << 20
    /// What one write takes together; a larger record is written alone.
    package var batchBytesMax = 8 << 20
    /// While several senders are about, a batch waits this long since the last one began for those that
    /// are still missing, so that a sync, which costs nearly the same for one record as for many,
    /// covers many. Where a sync takes longer than this, half of its time.
    package var gatheringInterval = Duration.milliseconds(1)
    /// Payloads that may wait in memory; more are refused with ``LogError/overloaded``.
    package var pendingBytesMax = 128 << 20
    /// Bulk records are refused when the disk has less room than this.
    package var freeBytesFloor = 0
    /// Names of files in the directory that are not the log's, and not reported as unknown.
    package var otherNames: Set<String> = []

    package init(directory: String, masterKey: MasterKey) {
        self.directory = directory
        self.masterKey = masterKey
    }
}
