internal import Synchronization
internal import SystemPackage
internal import WaybillThreads

/// A file of all receipts as they were read, one after the other.
///
/// A frame is the text's length (4 bytes), the device's number (4), the run's nanoseconds (8), all
/// little-endian, and the text. A thread of its own writes; nobody who appends waits for the disk.
final class ReceiptSpool: Sendable {
    private let core: SpoolCore

    /// - Parameter isNew: begins an empty file; else goes on with the one that is there.
    init(path: String, isNew: Bool) throws {
        let core = SpoolCore(
            file: try FileDescriptor.open(
                FilePath(path), .readWrite,
                options: isNew ? [.create, .truncate, .closeOnExec] : [.closeOnExec],
                permissions: [.ownerReadWrite]))
        self.core = core
        _ = try NamedThread(name: "receipt-spool") { core.writeUntilClosed() }
    }

    deinit {
        core.close()
    }

    func append(device: Int, at time: Int64, _ bytes: UnsafeRawBufferPointer) {
        core.append { pending in
            pending.appendLittleEndian(UInt32(truncatingIfNeeded: bytes.count))
            pending.appendLittleEndian(UInt32(truncatingIfNeeded: device))
            pending.appendLittleEndian(time)
            pending.append(contentsOf: bytes)
        }
    }

    /// Returns when all that was appended is in the file; a failed write is thrown here.
    func flush() throws {
        try core.flush()
    }

    /// Where each receipt lies, by device and in the order of reading.
    ///
    /// - Throws: ``LedgerFault/damaged(_:)`` where the last frame is cut off.
    func index(devices: Int) throws -> [[SpoolEntry]] {
        try flush()
        var index = Array(repeating: [SpoolEntry](), count: devices)
        var reader = SpoolReader(file: core.file)
        while let (device, entry) = try reader.next() {
            guard device < devices else { throw LedgerFault.damaged("a device that there is not") }
            index[device].append(entry)
        }
        return index
    }

    /// The text of one receipt.
    func read(_ entry: SpoolEntry) throws -> [UInt8] {
        try SpoolReader.read(core.file, at: entry.offset, count: entry.length)
    }
}

/// Where one receipt's text lies in the spool.
struct SpoolEntry: Sendable, Equatable {
    var offset: Int64
    var length: Int
    /// When it was read; the run's nanoseconds.
    var time: Int64
}

private final class SpoolCore: Sendable {
    private struct Pending {
        var bytes: [UInt8] = []
        var isClosed = false
    }

    /// From here on the thread writes.
    private static let wakingCount = 256 << 10
    /// From here on whoever appends writes: the disk is slower than the receipts.
    private static let waitingCount = 64 << 20

    let file: FileDescriptor
    private let pending = Monitor(Pending())
    /// Held while bytes are taken and written, so that they keep their order; the first failure.
    private let writing = Mutex<Errno?>(nil)

    init(file: FileDescriptor) {
        self.file = file
    }

    deinit {
        // Nothing is in the file's descriptor that a failed close could lose.
        try? file.close()
    }

    func append(_ body: (inout [UInt8]) -> Void) {
        let (before, count) = pending.withLock { pending in
            let before = pending.bytes.count
            body(&pending.bytes)
            return (before, pending.bytes.count)
        }
        if before < Self.wakingCount, count >= Self.wakingCount { pending.update { _ in } }
        // The failure is kept and thrown by the next flush that somebody waits for.
        if count >= Self.waitingCount { try? flush() }
    }

    func flush() throws {
        try writing.withLock { failure in
            let bytes = pending.withLock { pending in
                defer { pending.bytes = [] }
                return pending.bytes
            }
            if let failure { throw failure }
            do {
                try bytes.withUnsafeBytes { _ = try file.writeAll($0) }
            } catch let error as Errno {
                failure = error
                throw error
            }
        }
    }

    func close() {
        pending.update { $0.isClosed = true }
    }

    func writeUntilClosed() {
        var isClosed = false
        while !isClosed {
            isClosed =
                pending.wait { pending -> Bool? in
                    pending.isClosed || pending.bytes.count >= Self.wakingCount
                        ? pending.isClosed : nil
                } ?? true
            // The failure is kept and thrown by the next flush that somebody waits for.
            try? flush()
        }
    }
}

/// Goes over the frames of a spool.
private struct SpoolReader {
    private static let headCount = 16
    private static let pieceCount = 1 << 20

    let file: FileDescriptor
    private var piece: [UInt8] = []
    /// Of the piece's first byte in the file.
    private var pieceOffset: Int64 = 0
    private var position: Int64 = 0

    init(file: FileDescriptor) {
        self.file = file
    }

    mutating func next() throws -> (device: Int, entry: SpoolEntry)? {
        guard let head = try head() else { return nil }
        let length = Int(head.littleEndian(UInt32.self, at: 0))
        let entry = SpoolEntry(
            offset: position + Int64(Self.headCount), length: length,
            time: head.littleEndian(Int64.self, at: 8))
        position = entry.offset + Int64(length)
        return (Int(head.littleEndian(UInt32.self, at: 4)), entry)
    }

    private mutating func head() throws -> ArraySlice<UInt8>? {
        var start = Int(position - pieceOffset)
        if start + Self.headCount > piece.count {
            piece = try Self.readUpTo(file, at: position, count: Self.pieceCount)
            pieceOffset = position
            start = 0
            if piece.isEmpty { return nil }
            guard piece.count >= Self.headCount else {
                throw LedgerFault.damaged("the last receipt is cut off")
            }
        }
        return piece[start..<start + Self.headCount]
    }

    static func read(_ file: FileDescriptor, at offset: Int64, count: Int) throws -> [UInt8] {
        let bytes = try readUpTo(file, at: offset, count: count)
        guard bytes.count == count else {
            throw LedgerFault.damaged("the last receipt is cut off")
        }
        return bytes
    }

    private static func readUpTo(
        _ file: FileDescriptor, at offset: Int64, count: Int
    ) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = 0
            while initialized < count {
                let rest = UnsafeMutableRawBufferPointer(
                    rebasing: UnsafeMutableRawBufferPointer(buffer)[initialized...])
                let read = try file.read(
                    fromAbsoluteOffset: offset + Int64(initialized), into: rest)
                if read == 0 { break }
                initialized += read
            }
        }
    }
}

extension [UInt8] {
    mutating func appendLittleEndian(_ value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}

extension ArraySlice<UInt8> {
    /// - Parameter offset: from the slice's start; the bytes must be there.
    func littleEndian<Value: FixedWidthInteger>(_ type: Value.Type, at offset: Int) -> Value {
        withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: type)) }
    }
}
