internal import Foundation

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// How many connections and listeners the process has file descriptors for.
struct DescriptorBudget: Equatable {
    /// Connections of devices: each may have a file of a part open besides its socket.
    let connections: Int
    /// Listeners that an operator may ask for: each has a connection to the database, and a file of a
    /// part open at times.
    let listeners: Int

    /// For log segments, files of parts, a private database's pipes and what else is opened and
    /// closed while serving.
    static let reserve = 24

    /// Raises the soft limit of open files to the hard one, and shares it out. To be called once, when
    /// what the server itself keeps open is open.
    init(_ configuration: ServerConfiguration) {
        var limit = rlimit()
        guard getrlimit(Self.openFiles, &limit) == 0 else {
            self.init(
                free: .max, connections: configuration.connectionsMax,
                listeners: configuration.listenersMax, listenersAtStart: configuration.listeners)
            return
        }
        limit.rlim_cur = limit.rlim_max
        // A soft limit that cannot be raised stays as it is.
        if setrlimit(Self.openFiles, &limit) != 0 { getrlimit(Self.openFiles, &limit) }
        // Each event loop has three, and is made when the server begins to listen.
        let loops = 3 * ProcessInfo.processInfo.activeProcessorCount
        self.init(
            free: Int(clamping: limit.rlim_cur) - Self.openCount()
                - configuration.databaseConnections - Self.notices - loops - Self.reserve,
            connections: configuration.connectionsMax, listeners: configuration.listenersMax,
            listenersAtStart: configuration.listeners)
    }

    /// What fits, at most what is wanted: half of what is free for each, unless one needs less. Two
    /// connections and the listeners at start are always there.
    init(free: Int, connections: Int, listeners: Int, listenersAtStart: Int) {
        self.listeners = min(listeners, max(1, listenersAtStart, free / 4))
        self.connections = max(2, min(connections, free / 2 - self.listeners))
    }

    /// The listening sockets, operators, and the connections that notices and look-ups come by.
    private static let notices = 9

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
