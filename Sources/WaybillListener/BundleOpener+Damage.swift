internal import Crypto
internal import WaybillModel
internal import WaybillQueue

/// Tells the sender's fault from the server's: a bundle is refused only if its bytes are those that
/// were acknowledged.
extension BundleOpener {
    private static let hashedAtOnce = 1 << 20

    /// Compares every part with the digest in its record. Reads all bytes.
    ///
    /// - Throws: ``BundleFault/damaged(_:)`` when one differs or is gone,
    ///   ``BundleFault/unreadable(_:)`` when that cannot be told now, ``BundleFault/unrelated(_:)``.
    func checkBytes(of message: BundleMessage) throws(BundleFault) {
        for (index, part) in message.parts.enumerated() {
            guard try digest(of: part) == part.digest else {
                throw .damaged("part \(index + 1) has other bytes than were received")
            }
        }
    }

    private func digest(of part: PartContent) throws(BundleFault) -> Digest256 {
        let source = try source(of: part)
        var hash = SHA256()
        var offset = 0
        while offset < source.byteCount {
            let count = min(Self.hashedAtOnce, source.byteCount - offset)
            do {
                hash.update(data: try source.read(at: offset, count: count))
            } catch {
                throw BundleFault(source: error)
            }
            offset += count
        }
        return Digest256(hash.finalize())
    }
}
