extension SimulatedDisk {
    /// What goes wrong, and when. Numbers count calls of that kind since the disk was made.
    package struct Plan: Sendable {
        /// These syncs fail, and the system takes the pages for clean all the same.
        package var failingSyncs: [Int: SyncFailure] = [:]
        /// All syncs from this one on fail.
        package var syncsFailFrom: Int?
        /// These syncs of a directory fail; what changed in it stays to be seen.
        package var failingDirectorySyncs: Set<Int> = []
        /// These writes take only so many bytes.
        package var shortWrites: [Int: Int] = [:]
        /// These writes fail with the error number.
        package var failingWrites: [Int: Int32] = [:]
        /// These reads fail with the error number.
        package var failingReads: [Int: Int32] = [:]
        /// At this sync the file system gives itself up, as ext4 does that finds an error in itself:
        /// see ``SimulatedDisk/Fault/abortedJournal``.
        package var journalAbortsAt: Int?
        /// Syncs of files are said to have worked and do nothing: what must be noticed.
        package var ignoresSyncs = false
        /// The same of directories.
        package var ignoresDirectorySyncs = false
        /// The power is cut at the disk's call with this number, whatever it is, before it does
        /// anything.
        package var powerCutAt: Int?

        package init() {}
    }

    package enum SyncFailure: Sendable {
        /// The process goes on seeing what it wrote.
        case pagesStayReadable
        /// The process sees again what is on the platter.
        case pagesAreReverted
        /// As the first, and every later sync fails too.
        case forEver

        var fault: Fault {
            switch self {
            case .pagesStayReadable: .failedSync
            case .pagesAreReverted: .revertedSync
            case .forEver: .syncFailingForEver
            }
        }
    }

    /// What a disk can do wrong.
    package enum Fault: String, Sendable, CaseIterable {
        case powerCut = "power cuts"
        case kill = "kills"
        case lostSector = "lost sectors"
        case tornSector = "torn sectors"
        case lostEntry = "lost directory entries"
        case shortWrite = "short writes"
        case failedWrite = "failed writes"
        case failedRead = "failed reads"
        case failedSync = "failed syncs"
        case revertedSync = "failed syncs that revert pages"
        case syncFailingForEver = "syncs failing for ever"
        case failedDirectorySync = "failed directory syncs"
        /// The journal gets nothing any more: a sync that needs none goes well; one over blocks that were
        /// reserved and never written says that it went well, and they stay zeros; all later calls that
        /// change anything fail.
        case abortedJournal = "journals aborted under a sync"
        case fullDisk = "writes to a full disk"
        case flippedBit = "flipped bits"
        case misdirectedWrite = "misdirected writes"
        case swappedRecords = "swapped records"
        case copiedSegment = "segments copied over another"
        case oldSegment = "old segments put back"
        case deletedSegment = "segments deleted"
        case cutSegment = "segments cut at a record's border"
        case brokenSidecar = "broken sidecar indexes"
        case strangeFile = "empty, header-only and unknown files"
        case missingIdentity = "missing identities"
    }

    /// What has happened so far.
    package struct Counts: Sendable, Equatable {
        package var calls = 0
        package var writes = 0
        package var reads = 0
        package var syncs = 0
        package var directorySyncs = 0
        package var faults: [Fault: Int] = [:]

        package init() {}

        package subscript(fault: Fault) -> Int {
            get { faults[fault, default: 0] }
            set { faults[fault] = newValue }
        }

        package mutating func add(_ other: Counts) {
            calls += other.calls
            writes += other.writes
            reads += other.reads
            syncs += other.syncs
            directorySyncs += other.directorySyncs
            faults.merge(other.faults, uniquingKeysWith: +)
        }
    }
}
