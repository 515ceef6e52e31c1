internal import Synchronization
package import WaybillSealing

/// Bytes in memory that count what is read of them.
package final class CountingSource: ArchiveSource, Sendable {
    package let memory: MemorySource
    private let counts = Mutex((reads: 0, bytes: 0))

    package init(_ bytes: [UInt8]) {
        memory = MemorySource(bytes[...])
    }

    package var byteCount: Int { memory.byteCount }
    package var readCount: Int { counts.withLock { $0.reads } }
    package var readByteCount: Int { counts.withLock { $0.bytes } }

    package func read(at offset: Int, count: Int) -> [UInt8] {
        counts.withLock {
            $0.reads += 1
            $0.bytes += count
        }
        return memory.read(at: offset, count: count)
    }
}
