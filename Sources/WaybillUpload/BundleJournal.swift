internal import Crypto
internal import SegmentedLog
internal import WaybillModel

/// The journal of a declared bundle: frames, each with a check over its bytes and its place.
///
/// The form is in OnDiskFormat.md beside this file. Pure: reads and makes bytes only.
enum BundleJournal {
    enum Entry: Equatable {
        case declared(BundleDeclaration)
        case completed(CompletedPart)
        case expired(Timestamp)
    }

    /// What a journal says, up to the first byte that is not as it should be.
    struct Contents {
        var bundle: OpenBundle
        var expiredAt: Timestamp?
        /// Bytes of the frames that are good.
        var goodByteCount: Int
        /// Why the rest was not read; nil when there is no rest.
        var fault: Fault?
    }

    /// What stands after the good frames.
    enum Fault: String, Error {
        /// A frame ends beyond the file's end: a write that was not finished.
        case torn = "a torn frame at the end"
        case damaged = "a damaged frame"
        case unknown = "a frame of a later version"
        case noDeclaration = "no declaration at the start"
    }

    static func frame(_ entry: Entry, of key: BundleKey, at offset: Int) -> [UInt8] {
        let body = encode(entry)
        var writer = FieldWriter(capacity: 4 + body.count + checkByteCount)
        writer.integer(UInt32(body.count))
        writer.raw(body)
        writer.raw(Array(check(body[...], key, offset)))
        return writer.bytes
    }

    /// The whole journal of a bundle, made anew.
    static func journal(of bundle: OpenBundle) -> [UInt8] {
        var bytes = frame(.declared(bundle.declaration), of: bundle.key, at: 0)
        for case let part? in bundle.completed {
            bytes += frame(.completed(part), of: bundle.key, at: bytes.count)
        }
        return bytes
    }

    /// - Throws: ``Fault`` when not even the declaration can be read.
    static func read(_ bytes: [UInt8], of key: BundleKey) throws(Fault) -> Contents {
        var (entry, offset) = try readFrame(bytes, of: key, at: 0)
        guard case .declared(let declaration) = entry, declaration.key == key else {
            throw .noDeclaration
        }
        var contents = Contents(bundle: OpenBundle(declaration), goodByteCount: offset)
        while offset < bytes.count {
            do {
                (entry, offset) = try readFrame(bytes, of: key, at: offset)
            } catch {
                contents.fault = error
                break
            }
            switch entry {
            case .declared: contents.fault = .damaged
            case .completed(let part): contents.bundle.add(part)
            case .expired(let time): contents.expiredAt = time
            }
            contents.goodByteCount = offset
        }
        contents.bundle.journalByteCount = contents.goodByteCount
        contents.bundle.isJournalSound = contents.fault == nil
        return contents
    }

    // MARK: Frames

    private static let checkByteCount = 8
    private static let version: UInt8 = 1

    private enum Kind: UInt8 {
        case declared = 1
        case completed = 2
        case expired = 3
    }

    private static func check(
        _ body: ArraySlice<UInt8>, _ key: BundleKey, _ offset: Int
    ) -> ArraySlice<UInt8> {
        var hash = SHA256()
        hash.update(data: key.deviceID.bytes)
        hash.update(data: key.bundleID.bytes)
        var place = FieldWriter(capacity: 8)
        place.integer(UInt64(offset))
        hash.update(data: place.bytes)
        hash.update(data: body)
        return Array(hash.finalize()).prefix(checkByteCount)
    }

    private static func readFrame(
        _ bytes: [UInt8], of key: BundleKey, at offset: Int
    ) throws(Fault) -> (Entry, end: Int) {
        var reader = FieldReader(bytes[offset...])
        guard let count = reader.integer(UInt32.self), let body = reader.raw(Int(count)),
            let told = reader.raw(checkByteCount)
        else { throw .torn }
        guard told.elementsEqual(check(body, key, offset)) else { throw .damaged }
        guard let entry = decode(body) else { throw .unknown }
        return (entry, offset + 4 + Int(count) + checkByteCount)
    }

    private static func encode(_ entry: Entry) -> [UInt8] {
        var writer = FieldWriter(capacity: 64)
        switch entry {
        case .declared(let declaration):
            writer.integer(Kind.declared.rawValue)
            writer.integer(version)
            write(declaration, to: &writer)
        case .completed(let part):
            writer.integer(Kind.completed.rawValue)
            writer.integer(version)
            writer.integer(UInt32(part.number))
            writer.text(part.fileName)
            writer.integer(UInt64(part.byteCount))
            writer.raw(part.digest.bytes)
            writer.integer(UInt64(part.unzippedByteCount))
            writer.integer(part.completedAt.microseconds)
        case .expired(let time):
            writer.integer(Kind.expired.rawValue)
            writer.integer(version)
            writer.integer(time.microseconds)
        }
        return writer.bytes
    }

    private static func write(_ declaration: BundleDeclaration, to writer: inout FieldWriter) {
        writer.integer(declaration.tenant.number)
        writer.text(declaration.tenantSlug.text)
        writer.raw(declaration.deviceID.bytes)
        writer.raw(declaration.bundleID.bytes)
        writer.integer(declaration.epoch.map { Int64($0) } ?? .min)
        writer.integer(declaration.declaredAt.microseconds)
        writer.text(declaration.source)
        writer.integer(UInt32(declaration.parts.count))
        for part in declaration.parts {
            writer.integer(part.byteCount.map { UInt64($0) } ?? .max)
            writer.integer(UInt8(part.digest == nil ? 0 : 1))
            writer.raw((part.digest ?? .zero).bytes)
        }
    }

    private static func decode(_ body: ArraySlice<UInt8>) -> Entry? {
        var reader = FieldReader(body)
        guard let kind = reader.integer(UInt8.self).flatMap({ Kind(rawValue: $0) }),
            reader.integer(UInt8.self) == version
        else { return nil }
        let entry: Entry? =
            switch kind {
            case .declared: readDeclaration(&reader).map { .declared($0) }
            case .completed: readPart(&reader).map { .completed($0) }
            case .expired:
                reader.integer(Int64.self).map { .expired(Timestamp(microseconds: $0)) }
            }
        return reader.isAtEnd ? entry : nil
    }

    private static func readDeclaration(_ reader: inout FieldReader) -> BundleDeclaration? {
        guard let tenant = reader.integer(Int32.self),
            let slug = reader.text()?.flatMap({ TenantSlug($0) }),
            let deviceID = reader.raw(16).flatMap({ DeviceID(bytes: $0) }),
            let bundleID = reader.raw(16).flatMap({ BundleID(bytes: $0) }),
            let epoch = reader.integer(Int64.self), let time = reader.integer(Int64.self),
            let source = reader.text(), let count = reader.integer(UInt32.self), count > 0
        else { return nil }
        var parts: [DeclaredPart] = []
        for _ in 0..<count {
            guard let size = reader.integer(UInt64.self),
                let hasDigest = reader.integer(UInt8.self),
                let digest = reader.raw(32).flatMap({ Digest256(bytes: $0) })
            else { return nil }
            parts.append(
                DeclaredPart(
                    byteCount: size == .max ? nil : Int(clamping: size),
                    digest: hasDigest == 1 ? digest : nil))
        }
        return BundleDeclaration(
            tenant: TenantID(tenant), tenantSlug: slug, deviceID: deviceID, bundleID: bundleID,
            epoch: epoch == .min ? nil : Int(epoch), parts: parts,
            declaredAt: Timestamp(microseconds: time), source: source)
    }

    private static func readPart(_ reader: inout FieldReader) -> CompletedPart? {
        guard let number = reader.integer(UInt32.self), let name = reader.text(), let name,
            let byteCount = reader.integer(UInt64.self),
            let digest = reader.raw(32).flatMap({ Digest256(bytes: $0) }),
            let unzipped = reader.integer(UInt64.self), let time = reader.integer(Int64.self)
        else { return nil }
        return CompletedPart(
            number: Int(number), fileName: name, byteCount: Int(clamping: byteCount),
            digest: digest, unzippedByteCount: Int(clamping: unzipped),
            completedAt: Timestamp(microseconds: time))
    }
}
