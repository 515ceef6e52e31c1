internal import ArgumentParser
internal import WaybillModel
internal import WaybillOpening
internal import WaybillSealing

struct OpenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "open", abstract: "Read a part by hand: archive in, NDJSON out.",
        discussion: """
            Prints the transactions' lines as they are, without the header line. A line that a \
            server would reject is printed as well, and the exit code is then 2.
            """)

    @Argument(help: "The archive; - is standard input.")
    var file: String

    @OptionGroup var identity: PartOptions

    @Option(help: "The bundle's id.")
    var bundle: BundleID

    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await reporting {
            let password = try identity.password(bundle: bundle)
            let source = MemorySource(try InputFile.read(file)[...])
            let rejected: Int
            do {
                rejected = try PartPrinter(
                    binding: ExpectedBinding(
                        bundleID: bundle.bytes, deviceID: identity.device.bytes,
                        part: identity.part, parts: identity.parts)
                ).print(source, password: password)
            } catch let error as ArchiveRefusal {
                throw CommandFailure(.checkNotMet, "\(error.code.rawValue): \(error)")
            } catch let error as OpeningError {
                throw CommandFailure(.checkNotMet, "\(error.shortDescription): \(error)")
            }
            if rejected > 0 {
                throw CommandFailure(.checkNotMet, "\(rejected) lines would be rejected")
            }
        }
    }
}

/// Writes a part's lines to standard output.
private struct PartPrinter {
    let binding: ExpectedBinding
    private static let linesAtOnce = 1000
    private static let bytesAtOnce = 4 << 20

    /// How many of the lines a server would reject.
    func print(_ source: MemorySource, password: [UInt8]) throws -> Int {
        let limits = OpeningLimits()
        let layout = try ArchiveStructure.check(
            source,
            limits: ArchiveLimits(
                partUnzippedBytesMax: limits.partUnzippedBytesMax, ratioMax: limits.ratioMax))
        let reader = LineReader(
            opener: try PartOpener(
                source: source, layout: layout, password: password, limits: limits),
            binding: binding, limits: limits, hasher: ContentHasher(key: []))
        var rejected = 0
        while true {
            let lines = try reader.next(maxLines: Self.linesAtOnce, maxBytes: Self.bytesAtOnce)
            if lines.isEmpty { return rejected }
            Console.write(lines.flatMap { $0.raw + [UInt8(ascii: "\n")] })
            for line in lines {
                if case .rejected(let code, let detail, _) = line.result {
                    rejected += 1
                    Console.note("line \(line.index): \(code): \(detail)")
                }
            }
        }
    }
}
