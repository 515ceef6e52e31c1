internal import Logging
internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

extension DiskQueue {
    // MARK: Pausing

    /// True while nothing is handed out.
    package var isPaused: Bool { shared.withLock { $0.state.isPaused } }

    /// Stops handing out bundles, also after a restart, until ``resume()``.
    ///
    /// New bundles are taken, and what is leased is settled. Durable on return.
    ///
    /// - Throws: ``QueueError/io(errno:operation:)`` when that could not be written down; the queue is
    ///   paused all the same, until it is closed.
    package func pause() async throws(QueueError) {
        shared.update { $0.state.isPaused = true }
        try await writePause()
    }

    /// Hands out bundles again. Durable on return.
    ///
    /// - Throws: ``QueueError/io(errno:operation:)``; the queue goes on then, but a restart finds it
    ///   paused.
    package func resume() async throws(QueueError) {
        shared.update { $0.state.isPaused = false }
        try await writePause()
    }

    /// It waits for the disk, and happens rarely.
    private func writePause() async throws(QueueError) {
        try await onThread("queue-pause") { () throws(QueueError) in try self.writePauseHere() }
    }

    /// Runs what blocks on a thread of its own.
    func onThread<Value: Sendable>(
        _ name: String, _ work: @escaping @Sendable () throws(QueueError) -> Value
    ) async throws(QueueError) -> Value {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Value, QueueError>, Never>) in
            do throws(ThreadError) {
                _ = try NamedThread(name: name) {
                    do throws(QueueError) {
                        continuation.resume(returning: .success(try work()))
                    } catch {
                        continuation.resume(returning: .failure(error))
                    }
                }
            } catch {
                switch error {
                case .cannotStart(let number):
                    continuation.resume(
                        returning: .failure(.io(errno: number, operation: "pthread_create")))
                }
            }
        }
        return try result.get()
    }

    /// As ``pause()`` and ``resume()``, on the caller's thread; blocks.
    package func setPaused(_ isPaused: Bool) throws(QueueError) {
        shared.update { $0.state.isPaused = isPaused }
        try writePauseHere()
    }

    private func writePauseHere() throws(QueueError) {
        do throws(LogError) {
            try pauseFile.lock.withLock { _ throws(LogError) in
                // What holds now: of two calls at once the later one wins.
                try pauseFile.set(shared.withLock { $0.state.isPaused })
            }
        } catch {
            throw QueueError(error)
        }
    }

    // MARK: Bundles that end the process

    /// Notes that a bundle is being opened now: if the process dies before ``endOpening(_:)``, the
    /// next start counts an attempt against the bundle.
    ///
    /// - Returns: what to hand to ``endOpening(_:)``. Costs one small write without sync.
    package func beginOpening(_ delivery: Delivery) -> OpeningMark {
        OpeningMark(slot: marks.withLock { $0?.set(delivery.sequence) ?? nil })
    }

    /// The bundle did not end the process.
    package func endOpening(_ mark: OpeningMark) {
        guard let slot = mark.slot else { return }
        marks.withLock { $0?.clear(slot) }
    }

    /// Takes in what was being opened when the last process died; durable on return.
    func suspectInterrupted(
        in directory: String, _ fileSystem: any FileSystem
    ) throws(LogError) {
        let left = try OpeningMarks.left(in: directory, fileSystem)
        var found: [(sequence: UInt64, bundle: QueuedBundle)] = []
        for sequence in Set(left).sorted() {
            let (known, index) = shared.withLock { shared in
                let number = shared.state.shelf.segment(of: sequence)
                return (
                    shared.state.bundles[sequence],
                    number.flatMap { shared.state.shelf[$0]?.index }
                )
            }
            // One that cannot be read now is found again when its turn comes.
            if let bundle = known ?? (try? index?.readRow(of: sequence))?.bundle {
                found.append((sequence, bundle))
            }
        }
        let suspects = found
        let effect = shared.withLock { $0.state.suspect(suspects, now: clock()) }
        for (sequence, bundle) in suspects {
            logger.error(
                "the process ended while a bundle was at work: it is handed out alone now",
                metadata: [
                    "bundle.id": "\(bundle.key.bundleID)", "device.id": "\(bundle.key.deviceID)",
                    "queue.sequence": "\(sequence)", "queue.charged": "\(!effect.entries.isEmpty)",
                ])
        }
        if !effect.entries.isEmpty {
            let isWritten = Monitor(false)
            write(effect) { isWritten.update { $0 = true } }
            // A log that fails says so by itself; the wait only orders two writes.
            if !hasThreads { work() }
            _ = isWritten.wait(timeout: hasThreads ? .seconds(30) : .zero) { $0 ? true : nil }
        }
        let opened = try OpeningMarks(directory: directory, fileSystem: fileSystem)
        marks.withLock { $0 = opened }
    }
}

/// A place in the file of bundles that are being opened.
package struct OpeningMark: Sendable {
    let slot: Int?

    /// Marks nothing; for queues that keep no such file.
    package static let none = OpeningMark(slot: nil)
}
