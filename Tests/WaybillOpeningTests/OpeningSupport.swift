import ArchiveTesting
import Testing

@testable import WaybillOpening
@testable import WaybillSealing

/// Sealing and opening with the values that the tests share.
enum Sample {
    static let password = Array("a password of the tests".utf8)
    static let bundleID = [UInt8](1...16)
    static let deviceID = [UInt8](17...32)
    static let bundleText = "01020304-0506-0708-090a-0b0c0d0e0f10"
    static let deviceText = "11121314-1516-1718-191a-1b1c1d1e1f20"
    static let binding = ExpectedBinding(bundleID: bundleID, deviceID: deviceID, part: 1, parts: 1)
    static let hasher = ContentHasher(key: [UInt8](repeating: 9, count: 32))

    static func header(transactions: Int) -> [UInt8] {
        EntryHeader(
            bundleID: bundleText, deviceID: deviceText, transactions: transactions,
            deviceSequence: 17, sealedAt: "2026-11-21T03:00:00Z"
        ).line()
    }

    /// An entry of the given lines, each with a line feed.
    static func entry(_ lines: [String]) -> [UInt8] {
        header(transactions: lines.count) + lines.flatMap { Array($0.utf8) + [10] }
    }

    static func id(_ index: Int) -> String {
        let digits = String(index, radix: 16)
        return "0190163d-8694-739b-aea5-" + String(repeating: "0", count: 12 - digits.count)
            + digits
    }

    static func line(_ index: Int = 1, payload: String = "{}", type: String = "t") -> String {
        #"{"id":"\#(id(index))","type":"\#(type)","occurred_at":"2026-11-21T03:00:00Z","#
            + #""payload":\#(payload)}"#
    }

    static func opener(
        _ archive: [UInt8], password: [UInt8] = password, keys: PartKeys? = nil,
        limits: OpeningLimits = OpeningLimits()
    ) throws -> PartOpener {
        let source = MemorySource(archive[...])
        let layout = try ArchiveStructure.check(
            source, limits: ArchiveLimits(partUnzippedBytesMax: 256 << 20, ratioMax: 200))
        return try PartOpener(
            source: source, layout: layout, password: password, keys: keys, limits: limits)
    }

    /// The whole entry, read in pieces.
    static func open(
        _ archive: [UInt8], password: [UInt8] = password, keys: PartKeys? = nil,
        limits: OpeningLimits = OpeningLimits(), pieceCount: Int = 1 << 16
    ) throws -> [UInt8] {
        let opener = try opener(archive, password: password, keys: keys, limits: limits)
        var entry: [UInt8] = []
        while true {
            let piece = try opener.read(upTo: pieceCount)
            guard !piece.isEmpty else { return entry }
            #expect(piece.count <= pieceCount)
            entry += piece
        }
    }

    /// All lines of an entry.
    static func lines(
        of entry: [UInt8], binding: ExpectedBinding = binding,
        limits: OpeningLimits = OpeningLimits(), maxLines: Int = 100, maxBytes: Int = 1 << 20
    ) throws -> [EntryLine] {
        let archive = try PartSealer.seal(entry, password: password, method: .stored)
        let reader = LineReader(
            opener: try opener(archive, limits: limits), binding: binding, limits: limits,
            hasher: hasher)
        var lines: [EntryLine] = []
        while true {
            let next = try reader.next(maxLines: maxLines, maxBytes: maxBytes)
            guard !next.isEmpty else { return lines }
            #expect(next.count <= maxLines)
            lines += next
        }
    }

    /// The one line's result.
    static func result(_ line: [UInt8], limits: OpeningLimits = OpeningLimits()) throws
        -> EntryLine.Result
    {
        let lines = try lines(of: header(transactions: 1) + line + [10], limits: limits)
        return try #require(lines.first).result
    }
}

extension EntryLine.Result {
    /// Nil for a transaction.
    var code: String? {
        if case .rejected(let code, _, _) = self { return code }
        return nil
    }

    var rejectedID: [UInt8]? {
        if case .rejected(_, _, let id) = self { return id }
        return nil
    }

    var transaction: LineTransaction? {
        if case .transaction(let transaction) = self { return transaction }
        return nil
    }
}

/// A part of this module's own sealing, whose fields in clear can be overwritten.
struct PatchedPart {
    var bytes: [UInt8]

    init(_ entry: [UInt8], method: CompressionMethod = .deflated) throws {
        bytes = try PartSealer.seal(entry, password: Sample.password, method: method)
    }

    /// A part whose ciphertext holds `packed` as it is, declared as a deflated entry.
    init(packed: [UInt8], declared: Int) throws {
        try self.init(packed, method: .stored)
        set16(8, local: 52, directory: 68)
        setDeclared(declared)
    }

    static let dataStart = 54
    var directoryStart: Int { bytes.count - 92 }

    mutating func set16(_ value: Int, local: Int, directory: Int) {
        for offset in [local, directoryStart + directory] {
            bytes[offset] = UInt8(truncatingIfNeeded: value)
            bytes[offset + 1] = UInt8(truncatingIfNeeded: value >> 8)
        }
    }

    mutating func set32(_ value: Int, local: Int, directory: Int) {
        set16(value & 0xffff, local: local, directory: directory)
        set16(value >> 16, local: local + 2, directory: directory + 2)
    }

    mutating func setDeclared(_ count: Int) {
        set32(count, local: 22, directory: 24)
    }

    mutating func setVersion(_ version: Int, crc: Int) {
        set16(version, local: 47, directory: 63)
        set32(crc, local: 14, directory: 16)
    }
}
