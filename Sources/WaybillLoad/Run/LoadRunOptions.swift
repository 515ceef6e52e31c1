/// What is not in the plan, because it says how a run is made, not what it does.
package struct LoadRunOptions: Sendable {
    /// For the run's own files, its ledger among them; exists.
    package var directory: String
    /// Devices are kept there (mode 0600) and used again; nil: they are enrolled for this run alone.
    package var devicesFile: String?
    package var sealingThreads = 1
    /// Event loops that send and read.
    package var loops = 1

    package init(directory: String) {
        self.directory = directory
    }
}
