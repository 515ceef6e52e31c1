import ArchiveTesting
import Foundation
import Testing

@testable import WaybillOpening
@testable import WaybillSealing

/// What others write opens here, and what is written here opens there.
///
/// Needs 7-Zip (`p7zip-full`) and a Python with `pyzipper`, named by `WAYBILL_TEST_PYTHON`
/// (default `python3`); without them these tests fail.
@Suite struct ForeignArchiveTests {
    private let password = "Pass-word_of_43"
    private let entry = Array(String(repeating: "a line of an entry\n", count: 500).utf8)

    private static let pythonReads = """
        import pyzipper, sys
        with pyzipper.AESZipFile(sys.argv[1]) as archive:
            archive.setpassword(sys.argv[2].encode())
            assert archive.namelist() == ["bundle.ndjson"]
            sys.stdout.buffer.write(archive.read("bundle.ndjson"))
        """

    private static let pythonWrites = """
        import pyzipper, sys
        target = sys.stdout.buffer if sys.argv[1] == "-" else sys.argv[1]
        method = pyzipper.ZIP_DEFLATED if sys.argv[3] == "8" else pyzipper.ZIP_STORED
        with pyzipper.AESZipFile(target, "w", compression=method) as archive:
            archive.setpassword(sys.argv[2].encode())
            archive.setencryption(
                pyzipper.WZ_AES, nbits=256, force_wz_aes_version=int(sys.argv[4]))
            archive.writestr("bundle.ndjson", sys.stdin.buffer.read())
        """

    @Test(arguments: CompressionMethod.allCases, [true, false])
    func pyzipperOpensOurs(method: CompressionMethod, isEmpty: Bool) throws {
        let entry = isEmpty ? [] : entry
        try withDirectory { directory in
            let file = directory.appendingPathComponent("ours.zip")
            try Data(PartSealer.seal(entry, password: Array(password.utf8), method: method))
                .write(to: file)
            #expect(try python(Self.pythonReads, [file.path, password]) == entry)
        }
    }

    @Test(arguments: CompressionMethod.allCases)
    func sevenZipOpensOurs(method: CompressionMethod) throws {
        try withDirectory { directory in
            let file = directory.appendingPathComponent("ours.zip")
            try Data(PartSealer.seal(entry, password: Array(password.utf8), method: method))
                .write(to: file)
            #expect(try sevenZip(["x", "-so", "-p" + password, file.path]) == entry)
        }
    }

    /// AE-1 and AE-2 by pyzipper, to a file and to a pipe: bit 3, sizes 0, signed descriptor.
    @Test(arguments: CompressionMethod.allCases, [1, 2])
    func opensWhatPyzipperWrites(method: CompressionMethod, version: Int) throws {
        try withDirectory { directory in
            for target in [directory.appendingPathComponent("theirs.zip").path, "-"] {
                let output = try python(
                    Self.pythonWrites,
                    [target, password, String(method.rawValue), String(version)], input: entry)
                let isPipe = target == "-"
                let archive =
                    isPipe ? output : Array(try Data(contentsOf: URL(fileURLWithPath: target)))
                #expect((archive[6] & 1 << 3 != 0) == isPipe)
                #expect(archive[18..<26].allSatisfy { $0 == 0 } == isPipe)
                try expectOpens(archive, method, version)
            }
        }
    }

    /// AE-2 by 7-Zip, from a file and from a pipe with `-si`: zip64 in the local header, FIFO mode
    /// bits. Both have the NTFS extra in the central header.
    @Test(arguments: CompressionMethod.allCases, [true, false])
    func opensWhatSevenZipWrites(method: CompressionMethod, fromPipe: Bool) throws {
        try withDirectory { directory in
            let input = directory.appendingPathComponent("bundle.ndjson")
            let file = directory.appendingPathComponent("theirs.zip")
            try Data(entry).write(to: input)
            let source = fromPipe ? "-sibundle.ndjson" : input.path
            _ = try sevenZip(
                [
                    "a", "-tzip", "-mem=AES256", "-mm=" + (method == .stored ? "Copy" : "Deflate"),
                    "-p" + password, file.path, source,
                ], input: fromPipe ? entry : [])
            let archive = Array(try Data(contentsOf: file))
            try expectOpens(archive, method, 2)
            let layout = try ArchiveStructure.check(
                MemorySource(archive[...]), limits: ArchiveCases.limits)
            let directory = layout.directoryOffset
            #expect((archive[18..<26].allSatisfy { $0 == 0xff }) == fromPipe, "zip64 sizes")
            #expect((archive[directory + 41] & 0xf0 == 0x10) == fromPipe, "a FIFO's mode bits")
            #expect(archive[directory + 59] == 0x0a, "the NTFS extra comes first")
        }
    }

    private func expectOpens(
        _ archive: [UInt8], _ method: CompressionMethod, _ version: Int
    ) throws {
        let source = MemorySource(archive[...])
        let layout = try ArchiveStructure.check(source, limits: ArchiveCases.limits)
        #expect(layout.method == method)
        #expect(layout.encryptionVersion == version)
        #expect(layout.declaredByteCount == entry.count)
        try SecondOpinion.ask(on: source, layout)
        #expect(try Sample.open(archive, password: Array(password.utf8)) == entry)
    }

    private func withDirectory(_ body: (URL) throws -> Void) throws {
        let directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("waybill-opening-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer {
            do { try FileManager.default.removeItem(at: directory) } catch { Issue.record(error) }
        }
        try body(directory)
    }

    private func python(
        _ script: String, _ arguments: [String], input: [UInt8] = []
    ) throws -> [UInt8] {
        let name = ProcessInfo.processInfo.environment["WAYBILL_TEST_PYTHON"] ?? "python3"
        return try run(
            [name, "-c", script] + arguments, input: input,
            advice: "needs Python with pyzipper; name it in WAYBILL_TEST_PYTHON")
    }

    private func sevenZip(_ arguments: [String], input: [UInt8] = []) throws -> [UInt8] {
        try run(["7z"] + arguments, input: input, advice: "needs 7z of the package p7zip-full")
    }

    private func run(_ command: [String], input: [UInt8], advice: String) throws -> [UInt8] {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        let standardInput = Pipe()
        let standardOutput = Pipe()
        process.standardInput = standardInput
        process.standardOutput = standardOutput
        try process.run()
        // Less than a pipe holds, so that nobody waits for anybody.
        try #require(input.count < 60_000)
        try standardInput.fileHandleForWriting.write(contentsOf: Data(input))
        try standardInput.fileHandleForWriting.close()
        let output = try standardOutput.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(command[0]) failed: this test \(advice)")
        return Array(output)
    }
}
