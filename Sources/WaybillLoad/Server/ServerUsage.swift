/// What a server and its PostgreSQL use of the machine.
package struct ServerUsage: Sendable, Equatable {
    /// Resident memory of the server; 0 while it does not run.
    package var residentBytes = 0
    /// CPU time of the server since the run's start, all its lives together; what a killed one used
    /// after the last look is not in it.
    package var cpuSeconds = 0.0
    /// The same of all processes of its PostgreSQL.
    package var databaseCPUSeconds = 0.0

    package init() {}
}

/// Adds up the CPU time of processes that come and go.
struct UsageMeter {
    private var server = LifeMeter()
    private var database = LifeMeter()

    /// Before a process is ended: afterwards nobody knows what it used.
    mutating func lastLook(at processID: Int32?) {
        _ = look(at: processID, database: nil)
    }

    mutating func look(
        at processID: Int32?, database databaseID: Int32?,
        in processes: some ProcessSource = ProcessTable()
    ) -> ServerUsage {
        var usage = ServerUsage()
        if let processID, let found = processes.process(processID) {
            usage.residentBytes = found.residentBytes
            server.saw(found, cpuSeconds: found.cpuSeconds)
        }
        if let databaseID, let found = processes.process(databaseID) {
            // Children that have ended are in their parent's account once it has waited for them.
            let children = processes.children(of: databaseID).map(\.cpuSeconds).reduce(0, +)
            database.saw(found, cpuSeconds: found.cpuSeconds + found.childrenCPUSeconds + children)
        }
        usage.cpuSeconds = server.total
        usage.databaseCPUSeconds = database.total
        return usage
    }
}

/// The CPU time of one process after the other.
private struct LifeMeter {
    private var past = 0.0
    private var current = 0.0
    private var life: (processID: Int32, start: UInt64)?

    var total: Double { past + current }

    mutating func saw(_ process: ProcessReading, cpuSeconds: Double) {
        if life?.processID != process.processID || life?.start != process.startTicks {
            past += current
            current = 0
            life = (process.processID, process.startTicks)
        }
        // What a child used is in nobody's account between its end and its parent's waiting for it.
        current = max(current, cpuSeconds)
    }
}
