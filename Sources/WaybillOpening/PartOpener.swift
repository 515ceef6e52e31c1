internal import CZlib
package import WaybillSealing

/// Opens one part: authenticates the whole ciphertext first, then hands out the entry's bytes.
///
/// Memory is constant whatever the part's size. Calls block while the source does and compute for
/// long: use it on a dedicated thread. One thread at a time.
package final class PartOpener {
    private let source: any ArchiveSource
    private let layout: ArchiveLayout
    private let bytesMax: Int
    private var cipher: CounterCipher
    private var inflater: Inflater
    /// Ciphertext already deciphered, as an offset into the ciphertext.
    private var consumedCount = 0
    /// The ciphertext as read for authentication, if it is small enough to be kept.
    private var kept: [UInt8]?
    private var plain: [UInt8] = []
    private var plainPosition = 0
    private var checksum: UInt = 0
    private var isAtEnd = false
    private var hasFailed = false
    /// Inflated bytes handed out so far.
    package private(set) var byteCount = 0

    private static let chunkCount = 256 << 10

    /// Checks the password's verifier, the HMAC over the whole ciphertext, constant in memory, and
    /// that libzip agrees on the structure; throws `.cannotOpen` for each. Derives the keys if they
    /// are not given.
    package init(
        source: some ArchiveSource & Sendable, layout: ArchiveLayout, password: [UInt8],
        keys: PartKeys? = nil, limits: OpeningLimits
    ) throws(OpeningError) {
        let salt = try Self.read(source, layout.saltOffset, ArchiveLayout.saltCount)
        let keys = keys ?? PartKeys.derive(password: password, salt: salt)
        let verifier = try Self.read(source, layout.verifierOffset, ArchiveLayout.verifierCount)
        guard isEqualInConstantTime(verifier, keys.verifier) else {
            throw .cannotOpen("the password does not fit")
        }
        kept = try Self.authenticate(source, layout, keys)
        try SecondOpinion.ask(on: source, layout)
        self.source = source
        self.layout = layout
        bytesMax = min(
            layout.declaredByteCount,
            ArchiveLimits(
                partUnzippedBytesMax: limits.partUnzippedBytesMax, ratioMax: limits.ratioMax
            ).unzippedBytesMax(zippedCount: layout.zippedCount))
        cipher = try CounterCipher(
            key: keys.encryption, byteCount: layout.ciphertextCount)
        inflater = try Inflater()
    }

    /// The next bytes of the entry, at most `count`; empty at the end.
    ///
    /// At the end it has checked that the stream was finished with nothing after it, that the
    /// size is the declared one, and the CRC if the part is AE-1.
    package func read(upTo count: Int) throws(OpeningError) -> [UInt8] {
        try read(upTo: count, after: [])
    }

    /// `kept`, and after it the next bytes of the entry: at most `count`, none at the end.
    func read(upTo count: Int, after kept: ArraySlice<UInt8>) throws(OpeningError) -> [UInt8] {
        guard !hasFailed else { throw .cannotOpen("it failed before") }
        // A byte over the maximum shows that there is more than there may be.
        let wanted = min(count, bytesMax - byteCount + 1)
        guard wanted > 0, !isAtEnd else { return Array(kept) }
        var failure: OpeningError?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: kept.count + wanted) {
            buffer, initialized in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            unsafe kept.withUnsafeBytes { unsafe raw.copyMemory(from: $0) }
            initialized = kept.count
            do throws(OpeningError) {
                initialized += try unsafe fill(
                    UnsafeMutableRawBufferPointer(
                        rebasing: raw[kept.count..<kept.count + wanted]))
            } catch {
                failure = error
            }
        }
        if let failure {
            hasFailed = true
            throw failure
        }
        return bytes
    }

    /// Fills `target` as far as the entry goes; at its end it does the last checks.
    private func fill(_ target: UnsafeMutableRawBufferPointer) throws(OpeningError) -> Int {
        var filled = 0
        while filled < target.count {
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: target[filled...])
            let count =
                switch layout.method {
                case .stored: try unsafe copyStored(into: rest)
                case .deflated: try unsafe inflateNext(into: rest)
                }
            guard count > 0 else {
                isAtEnd = true
                break
            }
            filled += count
            guard byteCount + filled <= bytesMax else { throw .limitUnzipped }
        }
        if layout.encryptionVersion == 1 {
            checksum = unsafe crc32_z(
                checksum, target.baseAddress?.assumingMemoryBound(to: UInt8.self),
                z_size_t(filled))
        }
        byteCount += filled
        if isAtEnd { try checkEnd() }
        return filled
    }

    private func checkEnd() throws(OpeningError) {
        guard byteCount == layout.declaredByteCount else {
            throw .cannotOpen("the entry is smaller than declared")
        }
        guard layout.encryptionVersion != 1 || UInt32(truncatingIfNeeded: checksum) == layout.crc32
        else { throw .cannotOpen("the CRC does not fit") }
    }

    private func copyStored(into target: UnsafeMutableRawBufferPointer) throws(OpeningError) -> Int
    {
        if plainPosition == plain.count {
            plain = try decipherNext()
            plainPosition = 0
        }
        let count = min(target.count, plain.count - plainPosition)
        let start = plainPosition
        unsafe plain.withUnsafeBytes { plain in
            unsafe target.copyMemory(
                from: UnsafeRawBufferPointer(rebasing: plain[start..<start + count]))
        }
        plainPosition += count
        return count
    }

    private func inflateNext(
        into target: UnsafeMutableRawBufferPointer
    ) throws(OpeningError) -> Int {
        while true {
            let count = try unsafe inflater.inflate(into: target)
            if count > 0 { return count }
            if inflater.isFinished {
                guard inflater.unusedCount == 0, consumedCount == layout.ciphertextCount else {
                    throw .cannotOpen("bytes follow the deflate stream")
                }
                return 0
            }
            let next = try decipherNext()
            guard !next.isEmpty else { throw .cannotOpen("the deflate stream is not finished") }
            inflater.feed(next)
        }
    }

    /// The next piece of the ciphertext, deciphered; empty at its end.
    private func decipherNext() throws(OpeningError) -> [UInt8] {
        let count = min(Self.chunkCount, layout.ciphertextCount - consumedCount)
        guard count > 0 else { return [] }
        var bytes: [UInt8]
        if let kept {
            bytes = kept
            self.kept = nil
        } else {
            bytes = try Self.read(source, layout.ciphertextOffset + consumedCount, count)
        }
        consumedCount += bytes.count
        try cipher.apply(to: &bytes)
        return bytes
    }

    /// Checks the code over the whole ciphertext; gives the ciphertext if it is one piece.
    private static func authenticate(
        _ source: some ArchiveSource, _ layout: ArchiveLayout, _ keys: PartKeys
    ) throws(OpeningError) -> [UInt8]? {
        var code = MessageCode(key: keys.authentication)
        var position = 0
        var only: [UInt8]?
        while position < layout.ciphertextCount {
            let count = min(chunkCount, layout.ciphertextCount - position)
            let bytes = try read(source, layout.ciphertextOffset + position, count)
            code.update(bytes)
            if count == layout.ciphertextCount { only = bytes }
            position += count
        }
        let expected = try read(
            source, layout.authenticationCodeOffset, ArchiveLayout.authenticationCodeCount)
        let actual = Array(code.finish()[..<ArchiveLayout.authenticationCodeCount])
        guard isEqualInConstantTime(expected, actual) else {
            throw .cannotOpen("the authentication code does not fit")
        }
        return only
    }

    private static func read(
        _ source: some ArchiveSource, _ offset: Int, _ count: Int
    ) throws(OpeningError) -> [UInt8] {
        do {
            return try source.read(at: offset, count: count)
        } catch {
            throw .source(error)
        }
    }
}
