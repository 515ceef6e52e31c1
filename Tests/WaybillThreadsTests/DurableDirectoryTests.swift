import Foundation
import Testing

@testable import WaybillThreads

/// What is made is still there after a power cut.
@Suite struct DurableDirectoryTests {
    private func withRoot(_ body: (String) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory
            .appending(path: "waybill-directory-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(
            atPath: root, withIntermediateDirectories: true)
        defer {
            // What stays behind lies in the system's temporary directory.
            try? FileManager.default.removeItem(atPath: root)
        }
        try body(root)
    }

    /// The directories that were synced, in order.
    private func synced(making path: String) throws -> [String] {
        var synced: [String] = []
        try DurableDirectory.make(path, mode: 0o700) { path in
            synced.append(path)
        }
        return synced
    }

    @Test func syncsEachThatItMakesIntoTheOneAbove() throws {
        try withRoot { root in
            #expect(
                try synced(making: root + "/a/b/c") == [root, root + "/a", root + "/a/b"])
            let attributes = try FileManager.default.attributesOfItem(atPath: root + "/a/b")
            #expect(attributes[.posixPermissions] as? Int == 0o700)
            // Whoever made it may have died before the sync.
            #expect(try synced(making: root + "/a/b/c/") == [root + "/a/b"])
            try DurableDirectory.make(root + "/a/d")
            #expect(FileManager.default.fileExists(atPath: root + "/a/d"))
        }
    }

    @Test func refusesAFileOfThatName() throws {
        try withRoot { root in
            try Data().write(to: URL(filePath: root + "/file"))
            for path in ["/file", "/file/below"] {
                let failure = #expect(throws: DurableDirectory.Failure.self) {
                    try DurableDirectory.make(root + path)
                }
                #expect(failure?.errno == ENOTDIR)
            }
        }
    }

    @Test func tellsOfASyncThatFails() throws {
        let failure = DurableDirectory.Failure(errno: EIO, operation: "fsync")
        try withRoot { root in
            #expect(throws: failure) {
                try DurableDirectory.make(root + "/a", mode: 0o700) {
                    _ throws(DurableDirectory.Failure) in
                    throw failure
                }
            }
        }
    }
}
