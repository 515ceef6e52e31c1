internal import Logging
internal import Metrics
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
        await sweepUploads(at: now, expiring: oldest)
        for key in open.idle(since: oldest) where uploads.open(of: key).isEmpty {
            await attempt("an unfinished bundle could not be given up", key) {
                () async throws(UploadError) in
                guard let opened = open.find(key), opened.progressedAt <= oldest,
                    !opened.isComplete, uploads.open(of: key).isEmpty
                else { return }
                await forgetComplete(of: key)
                try await open.expire(opened, at: now)
                await directory.remove(opened.fileNames)
            }
        }
    }

    /// Ends what nobody went on with, forgets what was told long enough, and tries again what something
    /// kept from its end.
    private func sweepUploads(at now: Timestamp, expiring oldest: Timestamp) async {
        let whole = uploads.list(.receiving).filter {
            $0.plan.endsAtLength && $0.mark.isWhole
        }
        for upload in uploads.list(.received) + whole {
            // Looking at it is enough; what stands in the way is logged there.
            _ = try? await self.upload(upload.id, of: upload.plan.deviceID)
        }
        for upload in uploads.list(.receiving)
        where await end(upload.id, at: now, idleSince: oldest) {
            uploads.expiredCount.increment()
        }
        let told = now.advanced(by: .zero - Self.rememberedFor)
        for upload in uploads.list(.complete) {
            if let key = upload.plan.bundleKey {
                switch find(key)?.state {
                case .receiving, .queued, .processing: uploads.refresh(upload.id, at: now)
                default: if upload.mark.time <= told { await uploads.remove(upload.id) }
                }
            } else if await end(upload.id, at: now, idleSince: oldest) {
                uploads.expiredCount.increment()
            }
        }
        for upload in uploads.list(.ended) where upload.mark.time <= told {
            await uploads.remove(upload.id)
        }
    }

    /// For how long the URL of an upload that is over says so.
    private static let rememberedFor = Duration.seconds(86400)

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
