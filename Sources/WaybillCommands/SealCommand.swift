internal import ArgumentParser
internal import Foundation
internal import WaybillModel
internal import WaybillSealing

struct SealCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "seal", abstract: "Make a part by hand: NDJSON in, archive out.",
        discussion: "Each line is one transaction. The header line is made by this command.")

    @Argument(help: "NDJSON file; - is standard input.")
    var file = "-"

    @OptionGroup var identity: PartOptions

    @Option(help: "The bundle's id; without it a new one is made and printed.")
    var bundle: BundleID?

    @Option(help: "The bundle's number on its device, from 1.")
    var deviceSeq: Int64?

    @Option(help: "Where the archive goes; - is standard output.")
    var out: String

    @Flag(help: "Store the entry instead of deflating it.")
    var stored = false

    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await reporting {
            var generator = SystemRandomNumberGenerator()
            let bundle = bundle ?? BundleID.timeOrdered(using: &generator)
            let lines = SealedEntry.lines(try InputFile.read(file))
            let entry = SealedEntry.make(
                EntryHeader(
                    bundleID: bundle.description, deviceID: identity.device.description,
                    part: identity.part, parts: identity.parts, transactions: lines.count,
                    deviceSequence: deviceSeq, sealedAt: Timestamp.now.description), lines)
            let archive = try PartSealer.seal(
                entry, password: try identity.password(bundle: bundle),
                method: stored ? .stored : .deflated)
            try write(archive)
            let summary = SealSummary(
                bundle: bundle, part: identity.part, transactions: lines.count,
                size: archive.count, digest: Digest256.of(archive))
            if out == "-" {
                Console.note(summary.line)
            } else {
                try output.show(summary) { summary.line }
            }
        }
    }

    private func write(_ archive: [UInt8]) throws {
        if out == "-" { return Console.write(archive) }
        do {
            try Data(archive).write(to: URL(fileURLWithPath: out))
        } catch {
            throw CommandFailure(.failed, "\(out) cannot be written")
        }
    }
}

/// The text of a part before it is sealed.
enum SealedEntry {
    /// NDJSON's lines without their line feeds; the last line feed is optional.
    static func lines(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }

    static func make(_ header: EntryHeader, _ lines: [some Collection<UInt8>]) -> [UInt8] {
        var entry = header.line()
        for line in lines {
            entry.append(contentsOf: line)
            entry.append(UInt8(ascii: "\n"))
        }
        return entry
    }
}

private struct SealSummary: Encodable {
    var bundle: BundleID
    var part: Int
    var transactions: Int
    var size: Int
    var digest: Digest256

    var line: String {
        "bundle \(bundle) part \(part): \(transactions) transactions, \(size) bytes, "
            + "sha256 \(digest)"
    }

    enum CodingKeys: String, CodingKey {
        case part, transactions, size
        case bundle = "bundle_id"
        case digest = "sha256"
    }
}
