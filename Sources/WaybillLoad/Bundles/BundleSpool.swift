internal import Synchronization
internal import SystemPackage
internal import WaybillModel

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Which bundles were sealed in advance, and where they stand in their file.
///
/// The lock of the supply guards it; the file is written and read without the lock.
struct BundleSpool: Sendable {
    /// Where a bundle stands in the file.
    struct Place: Sendable {
        let offset: Int64
        let count: Int
    }

    /// How many bundles there are to be.
    let count: Int
    private(set) var writtenCount = 0
    private var places: [Place?]
    let file: SpoolFile

    /// - Parameter directory: on a disk with room for all.
    init(directory: String, count: Int) throws {
        self.count = count
        places = Array(repeating: nil, count: count)
        file = try SpoolFile(directory: directory)
    }

    mutating func note(_ number: Int, _ place: Place) {
        if places[number] == nil { writtenCount += 1 }
        places[number] = place
    }

    /// Nil for a number beyond those that were written.
    func place(_ number: Int) -> Place? {
        places.indices.contains(number) ? places[number] : nil
    }
}

extension SpoolFile {
    /// Writes a bundle, on any thread.
    func write(_ bundle: SealedBundle) throws -> BundleSpool.Place {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(bundle.byteCount + 8 + 40 * bundle.parts.count)
        Self.append(bundle.parts.count, to: &bytes)
        for (part, digest) in zip(bundle.parts, bundle.partDigests) {
            Self.append(part.count, to: &bytes)
            bytes += digest.bytes
        }
        for part in bundle.parts { bytes += part }
        return BundleSpool.Place(offset: try append(bytes), count: bytes.count)
    }

    /// Reads a bundle back, on any thread.
    func read(_ number: Int, at place: BundleSpool.Place, id: BundleID) throws -> SealedBundle {
        let bytes = try read(place.offset, count: place.count)
        let parts = Self.number(in: bytes, at: 0)
        var start = 8 + 40 * parts
        var bundle = SealedBundle(
            number: number, id: id, parts: [], partDigests: [], digest: .zero)
        for part in 0..<parts {
            let head = 8 + 40 * part
            let end = start + Self.number(in: bytes, at: head)
            guard let digest = Digest256(bytes: bytes[head + 8..<head + 40]), end <= bytes.count
            else { throw SpoolFault.damaged }
            bundle.parts.append(Array(bytes[start..<end]))
            bundle.partDigests.append(digest)
            start = end
        }
        bundle.digest = Digest256.ofBundle(parts: bundle.partDigests)
        return bundle
    }

    private static func append(_ value: Int, to bytes: inout [UInt8]) {
        for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * shift))) }
    }

    private static func number(in bytes: [UInt8], at offset: Int) -> Int {
        (0..<8).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
}

/// Why a bundle cannot be read back.
enum SpoolFault: Error {
    /// Its bytes in the file are not those that were written.
    case damaged
}

/// An open file that has no name any more: it has mode 0600, and is gone with the last copy of this,
/// however the process ends.
final class SpoolFile: Sendable {
    private let descriptor: FileDescriptor
    private let end = Atomic<Int64>(0)

    init(directory: String) throws {
        let name = FilePath("\(directory)/waybill-load-\(UInt64.random(in: .min ... .max)).spool")
        descriptor = try FileDescriptor.open(
            name, .readWrite, options: [.create, .exclusiveCreate, .closeOnExec],
            permissions: [.ownerReadWrite])
        guard unlink(name.string) == 0 else {
            let error = Errno(rawValue: errno)
            // The file is of no use; the first error tells more.
            try? descriptor.close()
            throw error
        }
    }

    deinit {
        // Nobody reads it any more.
        try? descriptor.close()
    }

    private func append(_ bytes: [UInt8]) throws -> Int64 {
        let offset = end.add(Int64(bytes.count), ordering: .relaxed).oldValue
        try descriptor.writeAll(toAbsoluteOffset: offset, bytes)
        return offset
    }

    private func read(_ offset: Int64, count: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = try descriptor.read(
                    fromAbsoluteOffset: offset + Int64(filled),
                    into: UnsafeMutableRawBufferPointer(
                        rebasing: UnsafeMutableRawBufferPointer(buffer)[filled...]))
                guard got > 0 else { throw SpoolFault.damaged }
                filled += got
            }
        }
    }
}
