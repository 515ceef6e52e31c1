internal import SegmentedLog

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

extension DiskQueueOptions {
    /// The log's options; throws if a key has not 32 bytes.
    func logOptions() throws(QueueError) -> LogOptions {
        guard let key = MasterKey(masterKey) else { throw .corrupt("a master key has 32 bytes") }
        var options = LogOptions(directory: directory, masterKey: key)
        for bytes in previousMasterKeys {
            guard let key = MasterKey(bytes) else { throw .corrupt("a master key has 32 bytes") }
            options.previousMasterKeys.append(key)
        }
        options.segmentBytes = segmentBytes
        options.reserveBytes = reserveBytes
        options.recordBytesMax = recordBytesMax
        options.freeBytesFloor = freeBytesFloor
        options.otherNames = [QueuePause.fileName, OpeningMarks.fileName, LossFile.fileName]
        return options
    }

    var stateOptions: QueueState.Options {
        QueueState.Options(
            sharedLeaseBytesMax: sharedLeaseBytesMax, settledRetention: settledRetention,
            settledEntriesMax: settledEntriesMax)
    }
}

extension QueueError {
    /// - Parameter ofIndex: a damaged index is made again: worth another try.
    init(_ error: LogError, ofIndex: Bool) {
        if ofIndex, case .damaged = error {
            self = .io(errno: EIO, operation: "reading an index")
        } else {
            self.init(error)
        }
    }

    init(_ error: LogError) {
        self =
            switch error {
            case .failed: .unhealthy
            case .diskFull: .diskFull
            case .closed: .closed
            case .wrongKey(let keyID): .wrongKey(keyID: keyID)
            case .unreadable(let reason): .corrupt(reason)
            case .locked: .locked
            case .tooLarge(let byteCount): .tooLarge(byteCount: byteCount)
            case .overloaded: .overloaded
            case .damaged, .noSuchSegment: .corrupt(error.description)
            case .io(let number, let operation): .io(errno: number, operation: operation)
            }
    }
}
