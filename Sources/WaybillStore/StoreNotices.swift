internal import Logging
internal import Synchronization
internal import WaybillModel
package import WaybillPostgres
internal import WaybillThreads

/// What server nodes tell each other through the database, over one session of its own: devices with
/// new receipts, and devices that were enrolled, rotated or revoked.
///
/// Notices are a short cut, not a promise: they get lost while the session is away. After each
/// connecting everything is to be looked at again, which is what ``connected`` asks for.
package final class StoreNotices: Sendable {
    private struct State {
        /// With new receipts, not yet told to the other nodes.
        var untold: Set<DeviceID> = []
        var isStopped = false
        var isConnected = false
    }

    private let options: ConnectionOptions
    private let bell: ReceiptBell
    private let filter: ReceiptFilter
    private let wakeUp: PostgresWakeUp
    private let state = Monitor(State())
    private let logger = Logger(label: "waybill.notices")
    private let connectedContinuation: AsyncStream<Void>.Continuation
    private let changedContinuation: AsyncStream<Void>.Continuation

    /// Yields after each connecting: notices may have been missed.
    package let connected: AsyncStream<Void>
    /// Yields when devices were enrolled, rotated or revoked on any node, and after each connecting.
    package let deviceChanges: AsyncStream<Void>

    /// Beyond this many untold devices the others look for themselves.
    private static let untoldMax = 20_000
    /// A notice holds less than 8000 bytes.
    private static let devicesPerNotice = 200
    private static let livenessInterval = Duration.seconds(10)
    /// What is settled meanwhile goes into one notice.
    private static let tellingInterval = Duration.milliseconds(25)

    /// - Throws: ``PostgresError/unavailable(_:)`` without free descriptors.
    package init(
        connectionString: String, bell: ReceiptBell, filter: ReceiptFilter
    ) throws(PostgresError) {
        options = ConnectionOptions(
            connectionString: connectionString, applicationName: "waybill notices",
            statementTimeout: .seconds(15), lockTimeout: .seconds(15), idleTimeout: .seconds(30),
            role: "waybill_app")
        self.bell = bell
        self.filter = filter
        wakeUp = try PostgresWakeUp()
        (connected, connectedContinuation) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingNewest(1))
        (deviceChanges, changedContinuation) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingNewest(1))
    }

    /// True while the session is open.
    package var isConnected: Bool { state.withLock { $0.isConnected } }

    /// Listens and tells until the task is cancelled; connects again whenever that is needed.
    ///
    /// - Throws: ``ThreadError`` without a thread. Run it once.
    package func run() async throws {
        bell.forward { [self] devices in tell(devices) }
        _ = try NamedThread(name: "notices") { [self] in listenUntilStopped() }
        while !Task.isCancelled {
            // The cancellation ends the sleep, and the loop sees it.
            try? await Task.sleep(for: .seconds(3600))
        }
        state.update { $0.isStopped = true }
        wakeUp.signal()
    }

    private func tell(_ devices: Set<DeviceID>) {
        let isNews = state.withLock { state in
            defer { state.untold.formUnion(devices) }
            return state.untold.isEmpty
        }
        if isNews { wakeUp.signal() }
    }

    private func listenUntilStopped() {
        var backoff = Backoff(base: .milliseconds(200), ceiling: .seconds(5))
        while !state.withLock({ $0.isStopped }) {
            do throws(PostgresError) {
                let connection = try connect()
                backoff.reset()
                try listen(over: connection)
            } catch {
                if state.withLock({ $0.isConnected }) {
                    logger.warning(
                        "other server nodes are not heard now", metadata: ["error": "\(error)"])
                }
            }
            state.update { $0.isConnected = false }
            _ = state.wait(timeout: backoff.next()) { $0.isStopped ? true : nil }
        }
    }

    private func connect() throws(PostgresError) -> PostgresConnection {
        let connection = try PostgresConnection(options)
        // What a node says must not wait for a sync: it is no data.
        try connection.execute(
            """
            SET synchronous_commit = off;
            LISTEN waybill_receipts;
            LISTEN waybill_devices
            """)
        state.update { $0.isConnected = true }
        connectedContinuation.yield()
        changedContinuation.yield()
        return connection
    }

    private func listen(over connection: PostgresConnection) throws(PostgresError) {
        var lastAnswer = Deadline.now
        var nextTelling = Deadline.now
        while !state.withLock({ $0.isStopped }) {
            if nextTelling.hasPassed, try sendUntold(over: connection) {
                lastAnswer = .now
                nextTelling = .after(Self.tellingInterval)
            }
            let hasUntold = state.withLock { !$0.untold.isEmpty }
            let notices = try connection.notices(
                wakeUp: wakeUp,
                timeout: hasUntold ? nextTelling.remaining : Self.livenessInterval)
            for notice in notices { take(notice, from: connection) }
            if Deadline.now.duration(since: lastAnswer) >= Self.livenessInterval {
                try connection.query("SELECT 1::integer")
                lastAnswer = .now
            }
        }
    }

    private func take(_ notice: PostgresNotice, from connection: PostgresConnection) {
        switch notice.channel {
        case "waybill_devices": changedContinuation.yield()
        case "waybill_receipts" where notice.backendProcessID != connection.backendProcessID:
            if filter.noteOtherNode() {
                logger.notice(
                    "another server node works here: every upload is looked for in the database")
            }
            if notice.payload == "*" {
                connectedContinuation.yield()
            } else {
                bell.ringHere(notice.payload.split(separator: ",").compactMap { DeviceID($0) })
            }
        default: break
        }
    }

    /// Tells the others what this node's listeners have settled; returns whether there was anything.
    private func sendUntold(over connection: PostgresConnection) throws(PostgresError) -> Bool {
        let devices = state.withLock { state in
            defer { state.untold = [] }
            return state.untold
        }
        guard !devices.isEmpty else { return false }
        guard devices.count <= Self.untoldMax else {
            try connection.query(Self.announceReceipts, [.text("*")])
            return true
        }
        let all = Array(devices)
        for start in stride(from: 0, to: all.count, by: Self.devicesPerNotice) {
            let some = all[start..<min(start + Self.devicesPerNotice, all.count)]
            try connection.query(
                Self.announceReceipts, [.text(some.map(\.description).joined(separator: ","))])
        }
        return true
    }

    private static let announceReceipts: PostgresStatement =
        "SELECT pg_notify('waybill_receipts', $1::text)"
}
