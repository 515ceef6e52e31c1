internal import Foundation

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// How many connections the process has file descriptors for.
enum DescriptorBudget {
    /// For log segments, files of parts, a private database's pipes and what else is opened and
    /// closed while serving.
    static let reserve = 24

    /// Raises the soft limit of open files to the hard one, and shares it out.
    ///
    /// - Parameters:
    ///   - wanted: connections that are configured.
    ///   - planned: descriptors that will be opened and stay open: database connections.
    /// - Returns: `wanted`, or what fits; never below 2.
    static func connections(wanted: Int, planned: Int) -> Int {
        var limit = rlimit()
        guard getrlimit(openFiles, &limit) == 0 else { return wanted }
        limit.rlim_cur = limit.rlim_max
        // A soft limit that cannot be raised stays as it is.
        if setrlimit(openFiles, &limit) != 0 { getrlimit(openFiles, &limit) }
        return share(
            of: Int(clamping: limit.rlim_cur), open: openCount(), planned: planned, wanted: wanted)
    }

    static func share(of limit: Int, open: Int, planned: Int, wanted: Int) -> Int {
        max(2, min(wanted, limit - open - planned - reserve))
    }

    #if canImport(Glibc)
        private static let openFiles = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
        private static let openFiles = RLIMIT_NOFILE
    #endif

    private static func openCount() -> Int {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
        } catch {
            // Not Linux: what is open at the start is little.
            return 16
        }
    }
}
