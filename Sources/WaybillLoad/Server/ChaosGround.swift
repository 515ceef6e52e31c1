internal import Foundation

/// What a plan's chaos needs of the machine besides a server: a disk that may be filled, a network that
/// may be spoiled.
///
/// Both are made in namespaces of this process's own (mount_namespaces(7), network_namespaces(7)), which
/// go with it and with the processes that it started, however it ends.
package struct ChaosGround: Sendable, Equatable {
    package let needsDisk: Bool
    package let needsNetwork: Bool

    /// Says in which process the namespaces are made already.
    private static let marker = "WAYBILL_LOAD_GROUND"
    /// The size of the disk, at most; what is written there lies in memory, and filling it takes time.
    private static let diskBytesMax = 2 << 30

    package init(_ steps: [LoadPlan.ChaosStep]) {
        needsDisk = steps.contains { $0.action == .fillDisk }
        needsNetwork = steps.contains { $0.action.isNetwork }
    }

    private var isNeeded: Bool { needsDisk || needsNetwork }

    /// Checks what this user and this machine can do, then starts this program once more, as the same
    /// process with the same arguments, in namespaces of its own. Call it before anything else is
    /// done; returns in the new program, and where nothing is needed.
    ///
    /// - Parameter database: what was given as the address of a database; nil for a private one.
    /// - Throws: ``ServerFailure/impossible(_:)``.
    package func enter(database: String?) throws(ServerFailure) {
        guard isNeeded else { return }
        let environment = ProcessInfo.processInfo.environment
        if environment[Self.marker] == "\(getpid())" {
            // A server takes each variable that begins so for a setting.
            unsetenv(Self.marker)
            return
        }
        try check(database: database, isRoot: geteuid() == 0, hasProgram: Self.hasProgram)
        var words = ["unshare", "--mount", "--propagation", "private"]
        if needsNetwork { words.append("--net") }
        let program: String
        do {
            program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        } catch {
            throw .impossible("this program's own path is not known: \(error)")
        }
        words += ["--", program] + CommandLine.arguments.dropFirst()
        setenv(Self.marker, "\(getpid())", 1)
        var arguments = words.map { strdup($0) } + [nil]
        execvp(words[0], &arguments)
        throw .impossible("unshare cannot be run (errno \(errno))")
    }

    /// Whether chaos can be had here.
    ///
    /// - Parameter hasProgram: whether a program is in `PATH`.
    func check(
        database: String?, isRoot: Bool, hasProgram: (String) -> Bool
    ) throws(ServerFailure) {
        guard isNeeded else { return }
        guard isRoot else {
            throw .impossible(
                "\(wanted) can be had by root only: leave out those steps, or run as root")
        }
        guard hasProgram("unshare"), hasProgram("mount") else {
            throw .impossible("\(wanted) needs unshare and mount (Debian: util-linux, mount)")
        }
        guard needsNetwork else { return }
        for program in ["ip", "tc"] where !hasProgram(program) {
            throw .impossible("phone networks need \(program) (Debian: iproute2)")
        }
        guard hasProgram("openssl") else {
            throw .impossible("phone networks need openssl, for TLS (Debian: openssl)")
        }
        if let database, !Self.isLocal(database) {
            throw .impossible(
                "phone networks are made in a network of the run's own, from where no database is "
                    + "reached but one on a Unix socket: leave out those steps, or --database-url")
        }
    }

    private var wanted: String {
        needsDisk
            ? needsNetwork ? "a full disk or a phone network" : "a full disk" : "a phone network"
    }

    /// Whether a connection string names a Unix socket's directory.
    static func isLocal(_ database: String) -> Bool {
        database.contains("host=/") || database.contains("host='/") || database.contains("host=%2F")
            || database.contains("@%2F") || database.contains("//%2F")
    }

    private static func hasProgram(_ name: String) -> Bool {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"
        return path.split(separator: ":").contains { access("\($0)/\(name)", X_OK) == 0 }
    }

    /// Puts a file system of its own, in memory, where the server's data are to lie.
    ///
    /// - Throws: ``ServerFailure``. Other processes do not see it.
    func mountDisk(at directory: String) async throws(ServerFailure) {
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o711])
        } catch {
            throw .toolFailed("\(directory) cannot be made: \(error)")
        }
        let memory = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        let bytes = min(Self.diskBytesMax, memory / 4)
        // Others may pass: a database server that root starts runs as another user.
        try await SystemTool.run([
            "mount", "-t", "tmpfs", "-o", "size=\(bytes),mode=0711", "waybill-load", directory,
        ])
    }

    /// Takes that file system away with all that is on it; whoever still has it open may end first.
    func unmountDisk(at directory: String) {
        #if canImport(Glibc)
            umount2(directory, Int32(MNT_DETACH))
        #endif
    }
}
