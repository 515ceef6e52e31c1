internal import Synchronization
internal import WaybillStore

/// The first 40 bytes of a sealed file, and what follows from them. Integers are little-endian.
///
/// `WBDEAD` (6), version 2 (2), bytes of a chunk (4), zero (4), bytes of the whole content (8), salt
/// (16, random). Then the chunks, all of the same size but for the last, each with the 16 bytes of its
/// tag after it; empty content is one empty chunk. ``ChunkCipher`` authenticates the header and a
/// chunk's index with each chunk, so that a file that was cut, grown, or whose chunks changed places
/// does not open. Version 1 had no header: nonce (12), the whole content, tag (16), sealed with
/// ``RootKey/seal(_:context:)``; it still opens.
struct SealedFileHeader: Sendable, Equatable {
    static let byteCount = 40
    private static let magic = Array("WBDEAD".utf8) + [2, 0]
    private static let chunkByteCountMax = 16 << 20

    let bytes: [UInt8]
    let chunkByteCount: Int
    /// Of the content.
    let contentByteCount: Int

    /// For a new file.
    init(byteCount: Int, chunkByteCount: Int = 256 << 10) {
        var generator = SystemRandomNumberGenerator()
        self.chunkByteCount = chunkByteCount
        contentByteCount = byteCount
        bytes =
            Self.magic + Self.littleEndian(UInt64(chunkByteCount))
            + Self.littleEndian(UInt64(byteCount))
            + Self.littleEndian(generator.next()) + Self.littleEndian(generator.next())
    }

    /// Nil for bytes that begin no file of this version.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount, bytes.starts(with: Self.magic),
            let chunkByteCount = Int(exactly: Self.integer(bytes[8..<16])),
            let contentByteCount = Int(exactly: Self.integer(bytes[16..<24])),
            (1...Self.chunkByteCountMax).contains(chunkByteCount), contentByteCount < 1 << 48
        else { return nil }
        self.bytes = bytes
        self.chunkByteCount = chunkByteCount
        self.contentByteCount = contentByteCount
    }

    var chunkCount: Int { max(1, (contentByteCount + chunkByteCount - 1) / chunkByteCount) }

    /// Of the whole file.
    var fileByteCount: Int {
        Self.byteCount + contentByteCount + chunkCount * ChunkCipher.tagByteCount
    }

    /// Bytes of content in a chunk.
    func clearByteCount(of index: Int) -> Int {
        min(chunkByteCount, contentByteCount - index * chunkByteCount)
    }

    /// Where a sealed chunk begins in the file.
    func offset(of index: Int) -> Int {
        Self.byteCount + index * (chunkByteCount + ChunkCipher.tagByteCount)
    }

    private static func littleEndian(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }

    private static func integer(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// A sealed file, open for reading in clear.
///
/// Holds one chunk in memory; all of a file in the old form.
final class SealedFile: Sendable {
    private enum Content: Sendable {
        case chunks(SealedFileHeader, ChunkCipher)
        case whole([UInt8])
    }

    private struct Chunk {
        let index: Int
        let bytes: [UInt8]
    }

    private let file: PartFile
    private let content: Content
    private let last = Mutex<Chunk?>(nil)

    /// - Throws: ``ListenerError/deadLetterDamaged`` when the size is not what the header says, or the
    ///   whole of an old file does not open; ``ListenerError/partUnreadable(errno:)``.
    init(_ file: PartFile, rootKey: RootKey, context: String) throws(ListenerError) {
        self.file = file
        if let header = SealedFileHeader(try file.read(at: 0, count: SealedFileHeader.byteCount)) {
            guard file.byteCount == header.fileByteCount else { throw .deadLetterDamaged }
            content = .chunks(header, rootKey.chunkCipher(context: context, header: header.bytes))
        } else {
            let sealed = try file.read(at: 0, count: file.byteCount)
            do {
                content = .whole(try rootKey.open(sealed, context: context))
            } catch {
                throw .deadLetterDamaged
            }
        }
    }

    /// Of the content.
    var byteCount: Int {
        switch content {
        case .chunks(let header, _): header.contentByteCount
        case .whole(let bytes): bytes.count
        }
    }

    /// Up to `count` bytes of the content; fewer only at its end.
    ///
    /// - Throws: ``ListenerError/deadLetterDamaged``, ``ListenerError/partUnreadable(errno:)``.
    func read(at offset: Int, count: Int) throws(ListenerError) -> [UInt8] {
        let end = min(byteCount, offset + max(0, count))
        guard offset < end else { return [] }
        switch content {
        case .whole(let bytes): return Array(bytes[offset..<end])
        case .chunks(let header, let cipher):
            var result: [UInt8] = []
            result.reserveCapacity(end - offset)
            for index in offset / header.chunkByteCount...(end - 1) / header.chunkByteCount {
                let start = index * header.chunkByteCount
                let chunk = try chunk(index, header, cipher)
                result += chunk[max(0, offset - start)..<min(chunk.count, end - start)]
            }
            return result
        }
    }

    /// One chunk in clear; the last one is kept, since readers go forward.
    private func chunk(
        _ index: Int, _ header: SealedFileHeader, _ cipher: ChunkCipher
    ) throws(ListenerError) -> [UInt8] {
        if let kept = last.withLock({ $0?.index == index ? $0?.bytes : nil }) { return kept }
        let sealed = try file.read(
            at: header.offset(of: index),
            count: header.clearByteCount(of: index) + ChunkCipher.tagByteCount)
        guard let bytes = cipher.open(sealed, index: UInt64(index)),
            bytes.count == header.clearByteCount(of: index)
        else { throw .deadLetterDamaged }
        last.withLock { $0 = Chunk(index: index, bytes: bytes) }
        return bytes
    }
}
