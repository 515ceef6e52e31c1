internal import CGlibc
internal import Foundation

/// Memory that threads have given back.
enum FreedMemory {
    /// Shares it among as many heaps as there are cores: by default glibc keeps eight times that many,
    /// and what bundles have left lying in each stays part of the process. To be called first of all.
    static func share() {
        let heaps = max(2, ProcessInfo.processInfo.activeProcessorCount)
        mallopt(M_ARENA_MAX, Int32(clamping: heaps))
    }

    /// Gives back to the system what reading the log took and nobody needs any more: buffers as large
    /// as a segment. Takes milliseconds.
    static func giveBack() {
        malloc_trim(0)
    }
}
