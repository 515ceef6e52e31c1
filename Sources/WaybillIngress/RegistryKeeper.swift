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
    private let news: AsyncStream<Void>
    private let logger = Logger(label: "waybill.registry")

    /// - Parameters:
    ///   - interval: how often the database is asked for changes.
    ///   - news: yields when it is worth asking at once.
    package init(
        registry: DeviceRegistry, keyRing: ReceiptKeyRing, directory: any DeviceDirectory,
        file: RegistryFile, interval: Duration, news: AsyncStream<Void> = .finished
    ) {
        self.registry = registry
        self.keyRing = keyRing
        self.directory = directory
        self.file = file
        self.interval = interval
        self.news = news
    }

    /// Runs until shutdown, and saves the registry once more then.
    package func run() async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.keepFresh() }
            group.addTask { await self.keepSaved() }
            group.addTask {
                for await _ in self.registry.firstSights.cancelOnGracefulShutdown() {
                    await self.tellFirstSights()
                }
            }
            await group.waitForAll()
        }
        await save()
    }

    /// Saves what has changed; when this returns it is on disk, unless the disk refused, which is
    /// logged: the registry is a cache.
    package func save() async {
        do {
            try await file.save(registry)
        } catch {
            logger.error(
                "the device registry could not be saved", metadata: ["error": "\(error)"])
        }
    }

    private func keepFresh() async {
        let (looks, look) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        look.yield()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [news] in
                for await _ in news.cancelOnGracefulShutdown() { look.yield() }
            }
            group.addTask { [interval] in
                while !Task.isCancelled, !Task.isShuttingDownGracefully {
                    // Cancelled by the shutdown, which ends the loop.
                    try? await cancelWhenGracefulShutdown { try await Task.sleep(for: interval) }
                    look.yield()
                }
                look.finish()
            }
            var refreshedAt: Timestamp?
            for await _ in looks {
                guard !Task.isShuttingDownGracefully else { break }
                refreshedAt = await refresh(since: refreshedAt)
                await tellFirstSights()
            }
            group.cancelAll()
        }
    }

    /// Saves soon after a change, also while the database makes the refreshing wait.
    private func keepSaved() async {
        await save()
        for await _ in registry.changes.cancelOnGracefulShutdown() {
            // Cancelled by the shutdown, which saves once more. The pause lets changes gather.
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: Self.gathering) }
            await save()
        }
    }

    private static let gathering: Duration = .milliseconds(50)

    /// Asks for what has changed, or, the first time and after the database was away, for all: it may
    /// be another one, restored from a backup.
    ///
    /// - Returns: since when to ask the next time.
    private func refresh(since refreshedAt: Timestamp?) async -> Timestamp? {
        let asked = Timestamp.now
        let readAt = registry.changeCount
        do {
            let devices = try await directory.registry(changedSince: refreshedAt)
            if refreshedAt == nil {
                registry.replace(with: devices, readAt: readAt)
                logger.debug("the device registry is up to date")
            } else {
                registry.merge(devices, readAt: readAt)
            }
            try await keyRing.refresh()
            return asked
        } catch {
            if refreshedAt != nil {
                logger.warning(
                    "the device registry cannot be refreshed; going on with what is known",
                    metadata: ["error": "\(error)"])
            }
            return nil
        }
    }

    /// What fails stays on the list and is tried again with the next refresh.
    private func tellFirstSights() async {
        for device in registry.unmarked {
            do {
                try await directory.markSeen(device.deviceID, epoch: device.epoch)
                registry.noteMarked(device.deviceID)
            } catch {
                logger.debug(
                    "a device's first request is not in the database yet",
                    metadata: ["error": "\(error)"])
                return
            }
        }
    }
}

extension AsyncStream<Void> {
    /// One that yields nothing.
    package static var finished: AsyncStream<Void> {
        AsyncStream { $0.finish() }
    }
}
