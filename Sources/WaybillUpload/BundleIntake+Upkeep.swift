internal import Logging
package import WaybillModel

/// What has to be done about unfinished bundles without a device asking.
extension BundleIntake {
    /// Mends, expires and sweeps, at once and then every `interval`, until the task is cancelled.
    package func keepUp(every interval: Duration = .seconds(600)) async {
        while !Task.isCancelled {
            await sweep(at: .now)
            // A cancelled sleep is the end of the service.
            try? await Task.sleep(for: interval)
        }
    }

    /// Queues complete bundles that did not get there, and gives up those that nobody finished.
    ///
    /// - Parameter now: what counts as the present for the age of bundles.
    package func sweep(at now: Timestamp) async {
        await open.sweepDone(before: now.advanced(by: .zero - options.doneBundleAge))
        for key in open.complete() {
            await attempt("a complete bundle is not in the queue yet", key) {
                () async throws(UploadError) in
                if let opened = open.find(key) { _ = try await handOver(opened) }
            }
        }
        let oldest = now.advanced(by: .zero - options.openBundleAge)
        for key in open.idle(since: oldest) {
            await attempt("an unfinished bundle could not be given up", key) {
                () async throws(UploadError) in
                guard let opened = open.find(key), opened.progressedAt <= oldest,
                    !opened.isComplete
                else { return }
                try await open.expire(opened, at: now)
                await directory.remove(opened.fileNames)
            }
        }
    }

    /// In the key's turn; what fails is tried again at the next sweep.
    private func attempt(
        _ complaint: Logger.Message, _ key: BundleKey,
        _ body: () async throws(UploadError) -> Void
    ) async {
        do {
            try await turns.take(key, body)
        } catch {
            open.logger.warning(
                complaint, metadata: ["bundle.id": "\(key.bundleID)", "error": "\(error)"])
        }
    }
}
