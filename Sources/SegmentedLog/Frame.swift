internal import Crypto
internal import FoundationEssentials

/// The clear part of a record on disk; see OnDiskFormat, "Record".
struct FrameHeader: Sendable, Equatable {
    static let byteCount = 32
    static let tagByteCount = 16
    static let marker = Array("WREC".utf8)

    var payloadByteCount: UInt32
    var sequence: UInt64
    var ordinal: UInt32
    /// All before this offset of the segment was synced before the frame was written.
    var synced: UInt32
    var type: UInt16

    /// Bytes of the whole frame.
    var frameByteCount: Int { Self.byteCount + Int(payloadByteCount) + Self.tagByteCount }

    func encode() -> [UInt8] {
        var writer = FieldWriter(capacity: Self.byteCount)
        writer.raw(Self.marker)
        writer.integer(payloadByteCount)
        writer.integer(sequence)
        writer.integer(ordinal)
        writer.integer(synced)
        writer.integer(type)
        writer.integer(UInt16(0))
        writer.checksum()
        return writer.bytes
    }

    /// Nil unless `bytes` begin with an undamaged frame header.
    init?(_ bytes: ArraySlice<UInt8>) {
        guard bytes.count >= Self.byteCount, bytes.starts(with: Self.marker) else { return nil }
        let clear = bytes.prefix(Self.byteCount)
        var checksum = FieldReader(clear.suffix(4))
        var reader = FieldReader(clear.dropFirst(4))
        guard checksum.integer(UInt32.self) == Checksum.of(clear.dropLast(4)),
            let payloadByteCount = reader.integer(UInt32.self),
            let sequence = reader.integer(UInt64.self),
            let ordinal = reader.integer(UInt32.self), let synced = reader.integer(UInt32.self),
            let type = reader.integer(UInt16.self), reader.integer(UInt16.self) == 0
        else { return nil }
        self.init(
            payloadByteCount: payloadByteCount, sequence: sequence, ordinal: ordinal,
            synced: synced, type: type)
    }

    init(
        payloadByteCount: UInt32, sequence: UInt64, ordinal: UInt32, synced: UInt32, type: UInt16
    ) {
        self.payloadByteCount = payloadByteCount
        self.sequence = sequence
        self.ordinal = ordinal
        self.synced = synced
        self.type = type
    }
}

/// What swift-crypto opens: nonce, sealed bytes and tag in one piece.
enum Combined {
    /// - Parameter sealed: with its tag behind it.
    ///
    /// Put together here: swift-crypto copies each of the three by a generic way that takes longer
    /// than AES does.
    static func data(nonce: [UInt8], _ sealed: ArraySlice<UInt8>) -> Data {
        var data = Data(capacity: nonce.count + sealed.count)
        unsafe nonce.withUnsafeBufferPointer { unsafe data.append($0) }
        unsafe sealed.withUnsafeBufferPointer { unsafe data.append($0) }
        return data
    }
}

/// Seals and opens the records of one segment.
struct SegmentCipher: Sendable {
    /// Log id and segment number: what every record of the segment is bound to.
    private let binding: [UInt8]
    private let key: SymmetricKey
    private let sealer: RecordSealer

    init(key: SymmetricKey, logID: [UInt8], segment: UInt64) {
        var writer = FieldWriter(capacity: 24)
        writer.raw(logID)
        writer.integer(segment)
        binding = writer.bytes
        self.key = key
        sealer = RecordSealer(key: key)
    }

    /// Appends the frame of one record to `buffer`. The caller never uses an ordinal twice.
    func seal(_ payload: [UInt8], _ header: FrameHeader, into buffer: inout [UInt8]) throws {
        let start = buffer.count
        let clear = header.encode()
        buffer.append(contentsOf: clear)
        buffer.append(contentsOf: payload)
        buffer.append(contentsOf: repeatElement(0, count: FrameHeader.tagByteCount))
        do {
            try sealer.seal(
                &buffer, from: start + FrameHeader.byteCount, nonce: nonceBytes(header.ordinal),
                authenticating: binding, clear.dropLast(4))
        } catch {
            // Nothing in the clear is left for a write.
            buffer.removeSubrange(start...)
            throw error
        }
    }

    /// The payload of a whole frame; nil if the tag does not confirm it.
    func open(
        _ frame: ArraySlice<UInt8>, _ header: FrameHeader, at site: TagCheckSite
    ) -> [UInt8]? {
        guard frame.count == header.frameByteCount else { return nil }
        let sealed = frame.dropFirst(FrameHeader.byteCount)
        #if MUTANTS
            if Mutation.disables(site) {
                // As below: nil says that there is nothing.
                return (try? nonce(header.ordinal)).flatMap { nonce in
                    try? Mutation.decryptUnchecked(
                        sealed.dropLast(FrameHeader.tagByteCount), key: key, nonce: nonce)
                }
            }
        #endif
        // The only error that matters here is that the frame is not authentic: nil says so.
        guard
            let box = try? AES.GCM.SealedBox(
                combined: Combined.data(nonce: nonceBytes(header.ordinal), sealed)),
            let payload = try? AES.GCM.open(
                box, using: key,
                authenticating: binding + frame.prefix(FrameHeader.byteCount - 4))
        else { return nil }
        return Array(payload)
    }

    #if MUTANTS
        private func nonce(_ ordinal: UInt32) throws -> AES.GCM.Nonce {
            try AES.GCM.Nonce(data: nonceBytes(ordinal))
        }
    #endif

    private func nonceBytes(_ ordinal: UInt32) -> [UInt8] {
        var writer = FieldWriter(capacity: 12)
        writer.zeros(4)
        writer.integer(UInt64(ordinal))
        return writer.bytes
    }
}
