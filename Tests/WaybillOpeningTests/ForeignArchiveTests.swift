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
            archive.setencryption(pyzipper.WZ_AES, nbits=256)
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

    @Test(arguments: CompressionMethod.allCases, [true, false])
    func opensWhatPyzipperWrites(method: CompressionMethod, toPipe: Bool) throws {
        try withDirectory { directory in
            let file = directory.appendingPathComponent("theirs.zip")
            let target = toPipe ? "-" : file.path
            let output = try python(
                Self.pythonWrites, [target, password, String(method.rawValue)], input: entry)
            let archive = toPipe ? output : Array(try Data(contentsOf: file))
            #expect(try Sample.open(archive, password: Array(password.utf8)) == entry)
        }
    }

    @Test(arguments: ["Deflate", "Copy"], [true, false])
    func opensWhatSevenZipWrites(method: String, fromPipe: Bool) throws {
        try withDirectory { directory in
            let input = directory.appendingPathComponent("bundle.ndjson")
            let file = directory.appendingPathComponent("theirs.zip")
            try Data(entry).write(to: input)
            let source = fromPipe ? "-sibundle.ndjson" : input.path
            _ = try sevenZip(
                [
                    "a", "-tzip", "-mem=AES256", "-mm=" + method, "-p" + password, file.path,
                    source,
                ], input: fromPipe ? entry : [])
            let archive = Array(try Data(contentsOf: file))
            #expect(try Sample.open(archive, password: Array(password.utf8)) == entry)
        }
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
