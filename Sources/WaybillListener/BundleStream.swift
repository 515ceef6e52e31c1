internal import WaybillModel
internal import WaybillOpening
internal import WaybillQueue
internal import WaybillStore

/// The second reading of a bundle: its transactions in chunks, part after part.
///
/// One part is open at a time, and memory is that of one chunk, whatever the bundle's size. Each part
/// is authenticated again before its first line: its file may have been damaged in between.
final class BundleStream {
    private let delivery: Delivery
    private let plan: StreamPlan
    private let opener: BundleOpener
    private var reader: LineReader?
    /// Position of the next part, from 0.
    private var nextPart = 0
    /// Index in the bundle of the open part's first transaction.
    private var firstIndex = 0

    init(_ delivery: Delivery, _ plan: StreamPlan, opener: BundleOpener) {
        self.delivery = delivery
        self.plan = plan
        self.opener = opener
    }

    /// At least one line, at most ``BundleOpener/linesMax`` with ``BundleOpener/chunkBytesMax`` and
    /// what the last line goes beyond; nil at the bundle's end.
    func next() throws(BundleFault) -> OpenedBundle? {
        let queue = opener.context.queue
        let mark = queue.beginOpening(delivery)
        defer { queue.endOpening(mark) }
        while true {
            try opener.keeperBeat()
            guard let reader = try openReader() else { return nil }
            do throws(OpeningError) {
                var chunk = OpenedBundle(summary: plan.summary)
                let count = try opener.readLines(of: reader, into: &chunk, firstIndex: firstIndex)
                guard count == 0 else { return chunk }
            } catch {
                throw BundleFault(error)
            }
            firstIndex += reader.header.transactions
            nextPart += 1
            self.reader = nil
        }
    }

    /// The part that is being read; nil after the last.
    private func openReader() throws(BundleFault) -> LineReader? {
        if let reader { return reader }
        guard nextPart < plan.parts.count else { return nil }
        let source = try opener.source(of: delivery.message.parts[nextPart])
        do throws(OpeningError) {
            let opened = try opener.reader(of: delivery.message, source, plan.parts[nextPart])
            reader = opened
            return opened
        } catch {
            throw BundleFault(error)
        }
    }
}
