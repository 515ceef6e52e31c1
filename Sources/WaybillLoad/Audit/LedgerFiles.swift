internal import Foundation
internal import SystemPackage
package import WaybillModel

/// Where the parts of a ledger lie in its directory.
enum LedgerFiles {
    static func spool(_ directory: String) -> String { directory + "/receipts.spool" }
    static func bundles(_ directory: String) -> String { directory + "/bundles.bin" }
    /// Written last: without it the ledger was not saved.
    static func head(_ directory: String) -> String { directory + "/ledger.json" }

    static func makeDirectory(_ path: String) throws {
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
    }

    /// Replaces the file in one step.
    static func write(_ bytes: [UInt8], to path: String) throws {
        let draft = path + ".new"
        let file = try FileDescriptor.open(
            FilePath(draft), .writeOnly, options: [.create, .truncate, .closeOnExec],
            permissions: [.ownerReadWrite])
        try file.closeAfter { _ = try file.writeAll(bytes) }
        guard rename(draft, path) == 0 else { throw Errno(rawValue: errno) }
    }
}

/// What `ledger.json` holds.
private struct LedgerHead: Codable {
    var run: LedgerRun
    var bundles: Int
    var devices: [LedgerState.Device]
    var refusals: [String]
}

extension BundleLedger {
    /// Writes what is not yet in the directory, so that ``load(_:numberOf:)`` finds all of it.
    package func save() throws {
        try spool.flush()
        let state = snapshot
        var bytes: [UInt8] = []
        bytes.reserveCapacity(state.records.count * BundleRecord.byteCount)
        for number in 0..<state.records.count { state.records[number].append(to: &bytes) }
        try LedgerFiles.write(bytes, to: LedgerFiles.bundles(directory))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let head = LedgerHead(
            run: run, bundles: state.records.count, devices: state.devices,
            refusals: state.refusals)
        try LedgerFiles.write(Array(encoder.encode(head)), to: LedgerFiles.head(directory))
    }

    /// What a saved ledger says of its run.
    package static func run(in directory: String) throws -> LedgerRun {
        try head(in: directory).run
    }

    /// Reads a ledger that ``save()`` wrote.
    ///
    /// - Throws: ``LedgerFault`` where the files do not fit each other.
    package static func load(
        _ directory: String, numberOf: @escaping @Sendable (BundleID) -> Int?
    ) throws -> BundleLedger {
        let head = try head(in: directory)
        guard head.devices.count == head.run.devices.count, !head.devices.isEmpty else {
            throw LedgerFault.damaged("devices are missing")
        }
        let bytes = try Array(Data(contentsOf: URL(filePath: LedgerFiles.bundles(directory))))
        guard bytes.count == head.bundles * BundleRecord.byteCount else {
            throw LedgerFault.damaged("bundles.bin has another length than was written")
        }
        var state = LedgerState(devices: head.devices.count)
        state.devices = head.devices
        state.refusals = head.refusals
        for number in 0..<head.bundles {
            let start = number * BundleRecord.byteCount
            guard let record = BundleRecord(bytes[start..<start + BundleRecord.byteCount]) else {
                throw LedgerFault.damaged("bundle \(number) of bundles.bin")
            }
            state.records.grow(to: number)
            state.records[number] = record
            state.totals.add(record)
        }
        return BundleLedger(
            run: head.run, directory: directory,
            spool: try ReceiptSpool(path: LedgerFiles.spool(directory), isNew: false),
            state: state, numberOf: numberOf)
    }

    private static func head(in directory: String) throws -> LedgerHead {
        let data = try Data(contentsOf: URL(filePath: LedgerFiles.head(directory)))
        struct Version: Decodable {
            struct Run: Decodable { var version: Int }
            var run: Run
        }
        let decoder = JSONDecoder()
        let version = try decoder.decode(Version.self, from: data).run.version
        guard version == 1 else { throw LedgerFault.unknownVersion(version) }
        return try decoder.decode(LedgerHead.self, from: data)
    }
}

extension LedgerTotals {
    /// Outcomes are not among what is saved: receipts tell them.
    fileprivate mutating func add(_ record: BundleRecord) {
        if record.step != .none { planned += 1 }
        if record.wasSent { sent += 1 }
        sends += Int(record.sends)
        if record.step == .acknowledged { acknowledged += 1 }
        if record.step == .refused { refused += 1 }
        if record.isOpen { open += 1 }
        if record.hasReceipt {
            if record.isQuarantined { quarantined += 1 } else { settled += 1 }
        }
    }
}

extension BundleRecord {
    /// Five times, the digest, sends, refusal, step and whether quarantined; little-endian.
    fileprivate static let byteCount = 5 * 8 + 32 + 4 + 2 + 1 + 1

    fileprivate func append(to bytes: inout [UInt8]) {
        bytes.appendLittleEndian(intended)
        bytes.appendLittleEndian(firstSentRaw)
        bytes.appendLittleEndian(answeredRaw)
        bytes.appendLittleEndian(settledRaw)
        bytes.appendLittleEndian(receiptSequence)
        bytes.append(contentsOf: digest.bytes)
        bytes.appendLittleEndian(sends)
        bytes.appendLittleEndian(refusal)
        bytes.append(step.rawValue)
        bytes.append(isQuarantined ? 1 : 0)
    }

    fileprivate init?(_ bytes: ArraySlice<UInt8>) {
        let base = bytes.startIndex
        guard let digest = Digest256(bytes: bytes[base + 40..<base + 72]),
            let step = Step(rawValue: bytes[base + 78]), bytes[base + 79] <= 1
        else { return nil }
        self.init()
        self.step = step
        intended = bytes.littleEndian(Int64.self, at: 0)
        firstSentRaw = bytes.littleEndian(Int64.self, at: 8)
        answeredRaw = bytes.littleEndian(Int64.self, at: 16)
        settledRaw = bytes.littleEndian(Int64.self, at: 24)
        receiptSequence = bytes.littleEndian(Int64.self, at: 32)
        self.digest = digest
        sends = bytes.littleEndian(UInt32.self, at: 72)
        refusal = bytes.littleEndian(UInt16.self, at: 76)
        isQuarantined = bytes[base + 79] == 1
    }
}
