/// How the entry was packed before it was encrypted.
package enum CompressionMethod: UInt16, Sendable, CaseIterable {
    case stored = 0
    case deflated = 8
}

/// What a part may declare about its size.
package struct ArchiveLimits: Sendable {
    /// The entry, inflated.
    package var partUnzippedBytesMax: Int
    /// Inflated bytes per zipped byte, past the first MiB.
    package var ratioMax: Int

    package init(partUnzippedBytesMax: Int, ratioMax: Int) {
        self.partUnzippedBytesMax = partUnzippedBytesMax
        self.ratioMax = ratioMax
    }

    /// What may inflate from anything: a full record of 1 MiB, however well it compresses, with its
    /// header line beside it.
    static let unzippedBytesFree = (1 << 20) + (64 << 10)

    /// The largest entry that `zippedCount` bytes may inflate to.
    package func unzippedBytesMax(zippedCount: Int) -> Int {
        let (product, overflow) = zippedCount.multipliedReportingOverflow(by: ratioMax)
        return min(
            partUnzippedBytesMax, max(Self.unzippedBytesFree, overflow ? .max : product))
    }
}

/// Where the pieces of a well-formed part lie. Offsets count bytes from the start of the part.
package struct ArchiveLayout: Sendable, Equatable {
    /// 16 bytes.
    package var saltOffset: Int
    /// 2 bytes.
    package var verifierOffset: Int
    package var ciphertextOffset: Int
    package var ciphertextCount: Int
    /// 10 bytes.
    package var authenticationCodeOffset: Int
    package var method: CompressionMethod
    /// The entry's size as declared; not to be believed before it has been inflated.
    package var declaredByteCount: Int
    /// Of the entry; means something only in encryption version 1.
    package var crc32: UInt32
    /// 1 for AE-1, 2 for AE-2.
    package var encryptionVersion: Int
    /// Of the entry's second header; between it and the data there may be a data descriptor.
    package var directoryOffset: Int

    package init(
        saltOffset: Int, ciphertextCount: Int, method: CompressionMethod, declaredByteCount: Int,
        crc32: UInt32, encryptionVersion: Int, directoryOffset: Int
    ) {
        self.saltOffset = saltOffset
        verifierOffset = saltOffset + Self.saltCount
        ciphertextOffset = verifierOffset + Self.verifierCount
        self.ciphertextCount = ciphertextCount
        authenticationCodeOffset = ciphertextOffset + ciphertextCount
        self.method = method
        self.declaredByteCount = declaredByteCount
        self.crc32 = crc32
        self.encryptionVersion = encryptionVersion
        self.directoryOffset = directoryOffset
    }

    /// Where the entry's data ends, its authentication code included.
    package var dataEnd: Int { authenticationCodeOffset + Self.authenticationCodeCount }
    /// The entry's data: salt, verifier, ciphertext, authentication code.
    package var zippedCount: Int { ciphertextCount + Self.overheadCount }

    package static let saltCount = 16
    package static let verifierCount = 2
    package static let authenticationCodeCount = 10
    /// Bytes of the entry's data that are not ciphertext.
    package static let overheadCount = saltCount + verifierCount + authenticationCodeCount
    /// PBKDF2's output: encryption key, authentication key, verifier.
    package static let keyMaterialCount = 66
    package static let derivationRounds = 1000
    package static let entryName = "bundle.ndjson"
}
