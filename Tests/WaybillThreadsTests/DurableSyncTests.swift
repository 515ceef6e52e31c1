import Foundation
import Testing

@testable import WaybillThreads

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The proof behind a sync changes nothing that anybody sees. That it fails with an aborted journal is
/// shown by the acceptance test of a disk that turns read-only under load.
@Suite struct DurableSyncTests {
    @Test(arguments: [0, 1, 5000])
    func aFileStaysAsItIs(byteCount: Int) throws {
        let path = FileManager.default.temporaryDirectory
            .appending(path: "durable-\(UUID().uuidString)").path
        let content = Data(repeating: 7, count: byteCount)
        try content.write(to: URL(filePath: path))
        defer { unlink(path) }
        let file = open(path, O_RDWR | O_CLOEXEC)
        try #require(file >= 0)
        defer { close(file) }
        #expect(DurableSync.file(file) == 0)
        #expect(try Data(contentsOf: URL(filePath: path)) == content)
    }

    @Test func aDirectoryGetsNoEntry() throws {
        let path = FileManager.default.temporaryDirectory
            .appending(path: "durable-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        defer { rmdir(path) }
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        try #require(directory >= 0)
        defer { close(directory) }
        #expect(DurableSync.directory(directory) == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: path).isEmpty)
    }

    @Test func aFailedSyncIsTold() {
        #expect(DurableSync.file(-1) == EBADF)
        #expect(DurableSync.directory(-1) == EBADF)
    }
}
