internal import Logging
internal import ServiceLifecycle
internal import WaybillModel
internal import WaybillStore

/// Brings the registry and the receipt keys up to date from the database and saves the registry.
package final class RegistryKeeper: Service {
    private let registry: DeviceRegistry
    private let keyRing: ReceiptKeyRing
    private let directory: any DeviceDirectory
    private let file: RegistryFile
    private let interval: Duration
    private let logger = Logger(label: "waybill.registry")

    package init(
        registry: DeviceRegistry, keyRing: ReceiptKeyRing, directory: any DeviceDirectory,
        file: RegistryFile, interval: Duration
    ) {
        self.registry = registry
        self.keyRing = keyRing
        self.directory = directory
        self.file = file
        self.interval = interval
    }

    /// Runs until shutdown, and saves the registry once more then.
    package func run() async throws {
        let state = KeeperState()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.keepFresh(state) }
            group.addTask { await self.keepSaved(state) }
            group.addTask {
                for await _ in self.registry.firstSights.cancelOnGracefulShutdown() {
                    await self.tellFirstSights()
                }
            }
            await group.waitForAll()
        }
        await save(state)
    }

    private func keepFresh(_ state: KeeperState) async {
        while !Task.isCancelled, !Task.isShuttingDownGracefully {
            await refresh(state)
            await tellFirstSights()
            // Cancelled by the shutdown, which ends the loop.
            try? await cancelWhenGracefulShutdown {
                try await Task.sleep(for: self.interval)
            }
        }
    }

    /// Saves soon after a change, also while the database makes the refreshing wait.
    private func keepSaved(_ state: KeeperState) async {
        for await _ in registry.changes.cancelOnGracefulShutdown() {
            // Cancelled by the shutdown, which saves once more. The pause lets changes gather.
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: Self.gathering) }
            await save(state)
        }
    }

    private static let gathering: Duration = .milliseconds(50)

    private func refresh(_ state: KeeperState) async {
        let asked = Timestamp.now
        do {
            let devices = try await directory.registry(changedSince: state.refreshedAt)
            if state.refreshedAt == nil {
                registry.replace(with: devices)
            } else {
                registry.merge(devices)
            }
            state.refreshedAt = asked
            try await keyRing.refresh()
            if state.isDatabaseAway { logger.info("the device registry is up to date again") }
            state.isDatabaseAway = false
        } catch {
            guard !state.isDatabaseAway else { return }
            state.isDatabaseAway = true
            logger.warning(
                "the device registry cannot be refreshed; going on with what is known",
                metadata: ["error": "\(error)"])
        }
    }

    /// What fails stays on the list and is tried again with the next refresh.
    private func tellFirstSights() async {
        for device in registry.unmarked {
            do {
                try await directory.markSeen(device)
                registry.noteMarked(device)
            } catch {
                logger.debug(
                    "a device's first request is not in the database yet",
                    metadata: ["error": "\(error)"])
                return
            }
        }
    }

    private func save(_ state: KeeperState) async {
        guard registry.changeCount != state.savedChangeCount else { return }
        let snapshot = registry.snapshot
        do {
            try await file.save(snapshot.devices)
            state.savedChangeCount = snapshot.changeCount
        } catch {
            logger.error(
                "the device registry could not be saved", metadata: ["error": "\(error)"])
        }
    }
}

/// `@unchecked`: `savedChangeCount` belongs to the saving task and the rest to the refreshing one,
/// until `run()` has seen both end.
private final class KeeperState: @unchecked Sendable {
    var refreshedAt: Timestamp?
    var savedChangeCount = -1
    var isDatabaseAway = false
}
