#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// What this process has used so far.
enum OwnUse {
    /// CPU time of all threads, user and system, in seconds.
    static func cpuSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
