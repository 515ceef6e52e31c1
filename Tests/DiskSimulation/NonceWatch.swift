/// Sees every frame that is written into a segment, and notices when two contents were sealed under
/// one key and nonce: a segment's salt stands for its key, a frame's ordinal for the nonce.
struct NonceWatch: Sendable {
    private struct Use: Hashable {
        let salt: [UInt8]
        let ordinal: [UInt8]
    }

    private static let magic = Array("WAYBLOGS".utf8)
    private static let marker = Array("WREC".utf8)
    private static let saltBytes = 64..<96
    private static let recordsOffset = 8192
    private static let clearBytes = 32
    private static let tagBytes = 16

    /// The tag of what was sealed first, by key and nonce.
    private var seen: [Use: [UInt8]] = [:]
    private(set) var repetitions = 0

    /// Reads what is about to be written, whether the disk takes it or not: it was sealed.
    ///
    /// The rest of a frame after a short write begins with no marker and is passed over.
    mutating func note(_ bytes: ArraySlice<UInt8>, at offset: Int, of content: [UInt8]) {
        let isNew = offset == 0 && bytes.starts(with: Self.magic)
        guard isNew || content.starts(with: Self.magic), !isNew || bytes.count >= 128 else {
            return
        }
        let head = isNew ? bytes : content[...]
        let salt = Array(head.dropFirst(Self.saltBytes.lowerBound).prefix(Self.saltBytes.count))
        var rest = isNew ? bytes.dropFirst(Self.recordsOffset) : bytes
        while rest.count >= Self.clearBytes, rest.starts(with: Self.marker) {
            let size = rest.dropFirst(4).prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
            let whole = Self.clearBytes + size + Self.tagBytes
            guard rest.count >= whole else { return }
            let frame = rest.prefix(whole)
            // What a power cut tore is no frame any more, and an opening writes it again as it is.
            guard Self.isSound(frame) else { return }
            let place = offset + frame.startIndex - bytes.startIndex
            rest = rest.dropFirst(whole)
            if !isNew, content.dropFirst(place).prefix(whole).elementsEqual(frame) { continue }
            let use = Use(salt: salt, ordinal: Array(frame.dropFirst(16).prefix(4)))
            let tag = Array(frame.prefix(Self.clearBytes)) + Array(frame.suffix(Self.tagBytes))
            if seen.updateValue(tag, forKey: use).map({ $0 != tag }) == true { repetitions += 1 }
        }
    }

    private static func isSound(_ frame: ArraySlice<UInt8>) -> Bool {
        let clear = frame.prefix(clearBytes)
        let checksum = clear.suffix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
        return checksum == Castagnoli.checksum(clear.dropLast(4))
    }
}
