package import WaybillStore
internal import WaybillThreads

/// The files of dead letters for callers that must not block: a thread of its own does the work.
package actor DeadLetterFolder {
    private nonisolated let files: DeadLetterFiles
    private nonisolated let thread: ThreadExecutor

    /// - Throws: ``ThreadError`` when the system refuses another thread.
    package init(_ files: DeadLetterFiles) throws {
        self.files = files
        thread = try ThreadExecutor(name: "dead-letters")
    }

    deinit {
        thread.stop()
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        thread.asUnownedSerialExecutor()
    }

    /// What lies there now; takes one system call a file.
    package func contents() throws(ListenerError) -> DeadLetterContents {
        try files.contents()
    }

    /// Whether every part of the letter lies here.
    package func holds(_ letter: StoredDeadLetter) -> Bool { files.holds(letter) }

    /// Unlinks files; returns how many. One that stays is found again by the next sweep.
    @discardableResult
    package func remove(_ fileNames: [String]) -> Int { files.remove(fileNames) }
}
