internal import SegmentedLog

/// A file of a ``SimulatedDisk``, as long as the power lasts.
final class SimulatedFile: OpenFile {
    let disk: SimulatedDisk
    let file: Int
    let power: Int
    /// What is locked for as long as the file is open.
    private let lockedPath: String?

    init(
        _ disk: SimulatedDisk, _ file: Int, power: Int, lockedPath: String? = nil
    ) {
        self.disk = disk
        self.file = file
        self.power = power
        self.lockedPath = lockedPath
    }

    deinit {
        if let lockedPath { disk.unlock(lockedPath, power: power) }
    }

    func write(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(LogError) -> Int {
        try disk.write(bytes, at: offset, self)
    }

    func read(at offset: Int, count: Int) throws(LogError) -> [UInt8] {
        try disk.read(at: offset, count: count, self)
    }

    func synchronize(overwriting: Bool) throws(LogError) {
        try disk.synchronize(self, overwriting: overwriting)
    }

    func allocate(_ byteCount: Int) throws(LogError) { try disk.allocate(byteCount, self) }

    func truncate(_ byteCount: Int) throws(LogError) { try disk.truncate(byteCount, self) }

    func byteCount() throws(LogError) -> Int { try disk.byteCount(self) }
}
