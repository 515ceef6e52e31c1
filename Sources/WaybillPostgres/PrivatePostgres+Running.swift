#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

extension PrivatePostgres {
    /// Whether its first process is there, whatever it is doing. Costs two small files.
    package var isRunning: Bool { place.runningProcess != nil }

    /// Starts it again after it died; does nothing to one that answers.
    ///
    /// - Returns: true if it was started.
    /// - Throws: ``PostgresError/privateServer(_:)``. What its last life left behind may be in the way
    ///   for a moment: try again.
    @discardableResult
    package func startAgain() async throws(PostgresError) -> Bool {
        if try await Self.answers(place, programs) { return false }
        try await Self.launch(place, programs)
        return true
    }
}

/// A private PostgreSQL as somebody sees it who did not start it; looks at files and processes only.
package struct ExistingPostgres: Sendable {
    package let connectionString: String
    /// Where its files lie.
    package let location: String
    private let place: PrivatePostgresPlace

    /// - Parameter dataDirectory: as ``PrivatePostgres/start(dataDirectory:settings:)`` got it.
    /// - Returns: nil where no cluster has been made.
    package init?(dataDirectory: String) throws(PostgresError) {
        place = try PrivatePostgresPlace(existingIn: dataDirectory)
        guard place.existingVersion != nil else { return nil }
        connectionString = place.connectionString(database: "waybill")
        location = place.directory
    }

    /// Its first process, the parent of all others; nil while there is none.
    package var processID: Int32? { place.runningProcess }
}

extension PrivatePostgresPlace {
    /// The process that the cluster's lock file names, if it is this cluster's indeed: the file of a
    /// server that was killed names a number that another process may have by now.
    var runningProcess: pid_t? {
        guard let text = FileSystem.read(clusterDirectory + "/postmaster.pid"),
            let line = text.split(separator: "\n").first, let number = pid_t(line), number > 0,
            kill(number, 0) == 0 || errno == EPERM
        else { return nil }
        #if canImport(Glibc)
            // PostgreSQL works in the cluster's directory. A process that has ended and waits for its
            // parent works nowhere.
            guard let work = unsafe realpath("/proc/\(number)/cwd", nil) else { return nil }
            defer { unsafe free(work) }
            guard let cluster = unsafe realpath(clusterDirectory, nil) else { return nil }
            defer { unsafe free(cluster) }
            guard unsafe strcmp(work, cluster) == 0 else { return nil }
        #endif
        return number
    }
}
