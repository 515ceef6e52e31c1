package import WaybillModel
package import WaybillQueue
package import WaybillStore

/// What every listener of a pool works with.
package struct ListenerContext: Sendable {
    let options: ListenerOptions
    let queue: any ListenerQueue
    let partsDirectory: String
    let reaper: PartReaper
    let deadLetters: DeadLetterFiles
    let metrics: ListenerMetrics
    let returns = ReturnBook()
    let contentHashers: ContentHashers
    /// Makes a listener's own way into the database; called on the listener's thread. Nil while
    /// the database has not been reached yet.
    let makeSettler: @Sendable () -> (any BundleSettler)?
    /// Hears of bundles whose listener came back after its lease, and was refused; must not block.
    let onStaleLease: @Sendable ([BundleKey]) -> Void

    package init(
        options: ListenerOptions, queue: any ListenerQueue, rootKey: RootKey,
        partsDirectory: String, reaper: PartReaper, deadLetters: DeadLetterFiles,
        makeSettler: @escaping @Sendable () -> (any BundleSettler)?,
        onStaleLease: @escaping @Sendable ([BundleKey]) -> Void = { _ in }
    ) {
        self.options = options
        self.queue = queue
        contentHashers = ContentHashers(rootKey: rootKey)
        self.partsDirectory = partsDirectory
        self.reaper = reaper
        self.deadLetters = deadLetters
        self.makeSettler = makeSettler
        self.onStaleLease = onStaleLease
        metrics = ListenerMetrics()
    }

    /// The bytes of one part.
    ///
    /// - Throws: ``ListenerError/partUnreadable(errno:)``, ``ListenerError/deadLetterDamaged``.
    func source(of part: PartContent) throws(ListenerError) -> PartSource {
        try PartSource(part, directory: partsDirectory, deadLetters: deadLetters)
    }
}

/// The queue as listeners see it: a port, and a way to wake those that wait in it.
package protocol ListenerQueue: BundleQueue {
    /// Notes that a bundle is being opened, should that end the process.
    func beginOpening(_ delivery: Delivery) -> OpeningMark
    func endOpening(_ mark: OpeningMark)
    /// Makes every waiting `lease` look at its `isCancelled`.
    func wake()
}

extension DiskQueue: ListenerQueue {}
