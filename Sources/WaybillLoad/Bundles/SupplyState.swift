internal import DequeModule

/// What the lock of a ``BundleSupply`` guards.
struct SupplyState: Sendable {
    struct Again: Sendable {
        let number: Int
        let done: @Sendable (SealedBundle?) -> Void
    }

    /// What a thread does next.
    enum Job: Sendable {
        /// Bundles that somebody will take.
        case make([Int])
        /// Bundles for the file.
        case spool([Int])
        case again([Again])
        case stop
    }

    /// Nil where the run's end is not known.
    let total: Int?
    /// Threads that run.
    var threads: Int
    var ready: [Int: SealedBundle] = [:]
    var readyBytes = 0
    /// Numbers that a thread works on, or that are in ``wantedAlone``.
    var inWork: Set<Int> = []
    /// About what those will take.
    var inWorkBytes = 0
    /// All below were given out to be made.
    var front = 0
    var highestWanted = -1
    /// Numbers wanted that do not come by themselves.
    var wantedAlone: Deque<Int> = []
    var waiters: [Int: [@Sendable () -> Void]] = [:]
    var again: Deque<Again> = []
    var starved = 0
    var spool: BundleSpool?
    /// The first number that was not yet given out to be sealed into the file.
    var spoolFront = 0
    /// A thread found nothing to do for want of room.
    var isWaitingForRoom = false
    var isStopped = false
    var failure: (any Error)?
    var preparing: [CheckedContinuation<Void, any Error>] = []
    var stopping: [CheckedContinuation<Void, Never>] = []

    init(total: Int?, threads: Int) {
        self.total = total
        self.threads = threads
    }

    var isSealingInAdvance: Bool {
        guard let spool else { return false }
        return spool.writtenCount < spool.count
    }

    func isBeyondTotal(_ number: Int) -> Bool {
        guard let total else { return false }
        return number >= total
    }

    func hasHalfOfRoom(_ options: BundleSupply.Options) -> Bool {
        ready.count + inWork.count <= options.countMax / 2
            && readyBytes + inWorkBytes <= options.bytesMax / 2
    }

    private func hasRoom(_ options: BundleSupply.Options) -> Bool {
        ready.count + inWork.count < options.countMax
            && readyBytes + inWorkBytes < options.bytesMax
    }

    /// The next job; nil while there is none.
    mutating func next(_ book: RecipeBook, _ options: BundleSupply.Options) -> Job? {
        guard !isStopped else { return .stop }
        if !again.isEmpty {
            var jobs: [Again] = []
            var size = BatchSize()
            while let job = again.first, size.takes(book, job.number) {
                jobs.append(again.removeFirst())
            }
            return .again(jobs)
        }
        if !wantedAlone.isEmpty { return .make([wantedAlone.removeFirst()]) }
        if let spool, spoolFront < spool.count {
            var numbers: [Int] = []
            var size = BatchSize()
            while spoolFront < spool.count, size.takes(book, spoolFront) {
                numbers.append(spoolFront)
                spoolFront += 1
            }
            return .spool(numbers)
        }
        guard !isSealingInAdvance else { return nil }
        return ahead(book, options)
    }

    private mutating func ahead(_ book: RecipeBook, _ options: BundleSupply.Options) -> Job? {
        var numbers: [Int] = []
        var size = BatchSize()
        while !isBeyondTotal(front) {
            guard hasRoom(options) || front <= highestWanted else {
                isWaitingForRoom = true
                break
            }
            guard size.takes(book, front) else { break }
            numbers.append(front)
            inWork.insert(front)
            inWorkBytes += BatchSize.estimate(book, front)
            front += 1
        }
        return numbers.isEmpty ? nil : .make(numbers)
    }
}

/// How many bundles are made at a time: enough to fill the lanes of key derivation, and not so many
/// that the first waits long for the last.
struct BatchSize {
    private var keys = 0
    private var transactions = 0
    private static let keysMax = 16
    private static let transactionsMax = 2000

    /// Whether the batch, which has at least one, takes this one too.
    mutating func takes(_ book: RecipeBook, _ number: Int) -> Bool {
        let shape = book.shape(book.recipe(number))
        guard
            keys == 0
                || (keys + shape.parts <= Self.keysMax
                    && transactions + shape.transactions <= Self.transactionsMax)
        else { return false }
        keys += max(1, shape.parts)
        transactions += shape.transactions
        return true
    }

    /// About the bytes of a sealed bundle; the same at each call.
    static func estimate(_ book: RecipeBook, _ number: Int) -> Int {
        let shape = book.shape(book.recipe(number))
        let line = shape.payloadBytes + 160
        let zipped = book.plan.compression == .stored ? line : line / 2
        return 400 * max(1, shape.parts) + shape.transactions * zipped
    }
}
