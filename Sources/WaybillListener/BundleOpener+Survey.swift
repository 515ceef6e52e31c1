internal import WaybillModel
internal import WaybillOpening
internal import WaybillQueue
internal import WaybillSealing

/// The first of two readings of a bundle of many parts: all that can be told before a row is stored.
extension BundleOpener {
    /// Authenticates every part and reads its header line, one part after the other.
    ///
    /// All parts are sealed under one epoch. Memory is that of one part's chunk, and of the keys.
    func survey(
        _ message: BundleMessage, _ secrets: [EpochSecret]
    ) throws(BundleFault) -> StreamPlan {
        let source = try source(of: message.parts[0])
        let layout = try layout(of: source)
        var fault = BundleFault.refused(.cannotOpen, detail: "the key epoch is not open")
        for secret in secrets {
            let first: Surveyed
            do throws(BundleFault) {
                first = try surveyed(
                    message, part: 1, source, layout, secret,
                    transactionsMax: context.options.limits.bundleTransactionsMax)
            } catch {
                guard error.isCannotOpen else { throw error }
                fault = error
                continue
            }
            return try survey(message, after: first, secret)
        }
        for secret in secrets { try checkPlace(message, part: 1, source, layout, secret) }
        throw fault
    }

    private struct Surveyed {
        let key: PartUnderKey
        let header: ParsedHeader
    }

    private func survey(
        _ message: BundleMessage, after first: Surveyed, _ secret: EpochSecret
    ) throws(BundleFault) -> StreamPlan {
        let limits = context.options.limits
        var parts = [first.key]
        var transactionCount = first.header.transactions
        var byteCount = first.key.layout.declaredByteCount
        try check(byteCount: byteCount)
        for part in 2...message.parts.count {
            let source = try source(of: message.parts[part - 1])
            let layout = try layout(of: source)
            byteCount += layout.declaredByteCount
            try check(byteCount: byteCount)
            let next = try located(
                message, part: part, source, layout, secret,
                transactionsMax: limits.bundleTransactionsMax - transactionCount)
            guard next.header.deviceSequence == first.header.deviceSequence else {
                throw .refused(
                    .bindingMismatch, detail: "part \(part): device_seq is not that of part 1")
            }
            transactionCount += next.header.transactions
            parts.append(next.key)
        }
        return StreamPlan(
            summary: BundleSummary(
                epoch: secret.epoch, deviceSequence: first.header.deviceSequence,
                transactionCount: transactionCount),
            parts: parts)
    }

    private func check(byteCount: Int) throws(BundleFault) {
        guard byteCount <= context.options.limits.bundleUnzippedBytesMax else {
            throw .refused(
                .limitUnzipped, detail: "its parts declare more bytes than a bundle may have")
        }
    }

    /// As ``surveyed(_:part:_:_:_:transactionsMax:)``; tells a part in the wrong place from one that
    /// opens nowhere.
    private func located(
        _ message: BundleMessage, part: Int, _ source: LeasedSource, _ layout: ArchiveLayout,
        _ secret: EpochSecret, transactionsMax: Int
    ) throws(BundleFault) -> Surveyed {
        do throws(BundleFault) {
            return try surveyed(
                message, part: part, source, layout, secret, transactionsMax: transactionsMax)
        } catch {
            guard case .refused(let refusal) = error else { throw error }
            if refusal.code == .cannotOpen {
                try checkPlace(message, part: part, source, layout, secret)
            }
            throw .refused(refusal.code, detail: "part \(part): \(refusal.detail)")
        }
    }

    private func surveyed(
        _ message: BundleMessage, part: Int, _ source: LeasedSource, _ layout: ArchiveLayout,
        _ secret: EpochSecret, transactionsMax: Int
    ) throws(BundleFault) -> Surveyed {
        let salt = try salt(source, layout)
        do throws(OpeningError) {
            let keys = PartKeys.derive(
                password: password(message, part: part, secret), salt: salt)
            let key = PartUnderKey(part: part, layout: layout, keys: keys, epoch: secret.epoch)
            let reader = try reader(of: message, source, key, transactionsMax: transactionsMax)
            try reader.open()
            return Surveyed(key: key, header: reader.header)
        } catch {
            throw BundleFault(error)
        }
    }

    /// Refuses a part that opens as another part of the same bundle: parts changed places, or one was
    /// sent twice. Costs a key derivation for each part of the bundle.
    private func checkPlace(
        _ message: BundleMessage, part: Int, _ source: LeasedSource, _ layout: ArchiveLayout,
        _ secret: EpochSecret
    ) throws(BundleFault) {
        let salt = try salt(source, layout)
        let others = (1...message.parts.count).filter { $0 != part }
        let passwords = others.map { password(message, part: $0, secret) }
        let keys = PartKeys.derive(passwords.map { (password: $0, salt: salt) })
        for (index, other) in others.enumerated() {
            try keeperBeat()
            do throws(OpeningError) {
                _ = try PartOpener(
                    source: source, layout: layout, password: passwords[index],
                    keys: keys[index], limits: context.openingLimits)
            } catch {
                guard case .cannotOpen = error else { throw BundleFault(error) }
                continue
            }
            throw .refused(
                .bindingMismatch, detail: "part \(part) is sealed as part \(other)")
        }
    }

    func keeperBeat() throws(BundleFault) {
        do throws(QueueError) {
            try keeper.beat()
        } catch {
            throw .unrelated(error)
        }
    }
}
