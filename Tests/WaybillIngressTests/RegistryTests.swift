import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import ServiceLifecycle
import Testing
import WaybillIngress
import WaybillModel
import WaybillStore

@Suite struct RegistryTests {
    private func scratchFile() -> String {
        FileManager.default.temporaryDirectory.appending(
            path: "waybill-registry-\(UUID().uuidString).json"
        ).path
    }

    @Test func survivesARestartWithoutADatabase() async throws {
        let path = scratchFile()
        defer {
            // What is left in the temporary folder harms nobody.
            try? FileManager.default.removeItem(atPath: path)
            try? FileManager.default.removeItem(atPath: path + ".journal")
        }
        #expect(try RegistryFile.load(path: path).isEmpty)
        let device = try MemoryStore().addDevice(token: "secret-token")
        let known = DeviceRegistry()
        known.merge([device])
        try await RegistryFile(path: path).save(known)
        #expect(try RegistryFile.load(path: path) == [device])
        let registry = DeviceRegistry(try RegistryFile.load(path: path))
        #expect(registry.find(tokenHash: .of("secret-token".utf8)) == device)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
        #expect(mode as? Int == 0o600)
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(!text.contains("secret-token"))
    }

    @Test func keepsSeenAndForgetsOldTokens() throws {
        let store = MemoryStore()
        var device = try store.addDevice(token: "one")
        let registry = DeviceRegistry([device])
        registry.merge([device])
        device.tokenHash = .of("two".utf8)
        registry.merge([device])
        #expect(registry.find(tokenHash: .of("one".utf8)) == nil)
        #expect(registry.find(tokenHash: .of("two".utf8)) == device)
        registry.replace(with: [])
        #expect(registry.find(tokenHash: .of("two".utf8)) == nil)
    }

    @Test func tellsTheDatabaseOfAFirstRequestOnceItIsBack() async throws {
        let path = scratchFile()
        defer {
            // What is left in the temporary folder harms nobody.
            try? FileManager.default.removeItem(atPath: path)
            try? FileManager.default.removeItem(atPath: path + ".journal")
        }
        let store = MemoryStore()
        let device = try store.addDevice(token: "one")
        let registry = DeviceRegistry([device])
        store.setAway(true)
        let authenticator = DeviceAuthenticator(registry: registry, directory: store)
        let keeper = RegistryKeeper(
            registry: registry, keyRing: ReceiptKeyRing(store: store), directory: store,
            file: try RegistryFile(path: path), interval: .milliseconds(5))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await keeper.run() }
            for _ in 0..<2 {
                _ = try await authenticator.authenticate([.authorization: "Bearer one"])
            }
            store.setAway(false)
            while store.seen.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
            group.cancelAll()
            try await group.waitForAll()
        }
        #expect(store.seen.first == device.deviceID)
        #expect(try RegistryFile.load(path: path).first?.isSeen == true)
    }

    @Test func writesChangesBesideTheSnapshotAndReadsThemBack() async throws {
        let path = scratchFile()
        defer { remove(path) }
        let store = MemoryStore()
        let registry = DeviceRegistry()
        let file = try RegistryFile(path: path)
        try await file.save(registry)
        let snapshot = try Data(contentsOf: URL(filePath: path))
        var devices: [RegisteredDevice] = []
        for number in 0..<50 {
            devices.append(try store.addDevice(token: "token \(number)"))
            registry.merge([devices[number]])
            try await file.save(registry)
            #expect(try RegistryFile.load(path: path).count == number + 1)
        }
        registry.revoke(devices[7].deviceID)
        try await file.save(registry)
        // Only the journal was written.
        #expect(try Data(contentsOf: URL(filePath: path)) == snapshot)
        let loaded = DeviceRegistry(try RegistryFile.load(path: path))
        #expect(loaded.find(tokenHash: devices[7].tokenHash)?.isRevoked == true)
        #expect(loaded.find(tokenHash: devices[8].tokenHash) == devices[8])
        registry.replace(with: [devices[1]])
        try await file.save(registry)
        #expect(try RegistryFile.load(path: path) == [devices[1]])
        let mode = try FileManager.default.attributesOfItem(
            atPath: path + ".journal")[.posixPermissions]
        #expect(mode as? Int == 0o600)
    }

    /// After a crash in the middle of a write, at each byte.
    @Test func aJournalThatIsCutOffEndsWithItsLastWholeLine() async throws {
        let path = scratchFile()
        defer { remove(path) }
        let store = MemoryStore()
        let registry = DeviceRegistry()
        let file = try RegistryFile(path: path)
        try await file.save(registry)
        for number in 0..<3 {
            registry.merge([try store.addDevice(token: "token \(number)")])
            try await file.save(registry)
        }
        let journal = URL(filePath: path + ".journal")
        let whole = try Data(contentsOf: journal)
        for length in 0..<whole.count {
            try whole.prefix(length).write(to: journal)
            let lines = whole.prefix(length).count { $0 == UInt8(ascii: "\n") }
            // The first line says which snapshot it follows.
            #expect(try RegistryFile.load(path: path).count == max(0, lines - 1))
        }
        var flipped = whole
        let secondLine = try #require(whole.firstIndex(of: UInt8(ascii: "\n"))) + 1
        flipped[secondLine + 40] ^= 1
        try flipped.write(to: journal)
        #expect(try RegistryFile.load(path: path).isEmpty)
        // The next start writes everything anew.
        let next = try RegistryFile(path: path)
        try await next.save(registry)
        #expect(try RegistryFile.load(path: path).count == 3)
        #expect(try lineCount(journal) == 1)
    }

    /// After a crash between replacing the snapshot and emptying the journal.
    @Test func changesFromBeforeTheSnapshotAreNotRepeatedOverIt() async throws {
        let path = scratchFile()
        defer { remove(path) }
        let device = try MemoryStore().addDevice(token: "token")
        let registry = DeviceRegistry()
        let file = try RegistryFile(path: path)
        try await file.save(registry)
        registry.merge([device])
        try await file.save(registry)
        let journal = URL(filePath: path + ".journal")
        let older = try Data(contentsOf: journal)
        registry.revoke(device.deviceID)
        // The first save of a file writes the snapshot.
        let next = try RegistryFile(path: path)
        try await next.save(registry)
        try older.write(to: journal)
        #expect(try RegistryFile.load(path: path).map(\.isRevoked) == [true])
    }

    private func lineCount(_ file: URL) throws -> Int {
        try Data(contentsOf: file).count { $0 == UInt8(ascii: "\n") }
    }

    @Test func aLongJournalIsReplacedByASnapshot() async throws {
        let path = scratchFile()
        defer { remove(path) }
        let store = MemoryStore()
        let registry = DeviceRegistry()
        let file = try RegistryFile(path: path)
        try await file.save(registry)
        let devices = try (0..<600).map { try store.addDevice(token: "token \($0)") }
        registry.merge(devices)
        try await file.save(registry)
        #expect(try !Data(contentsOf: URL(filePath: path + ".journal")).isEmpty)
        for device in devices { registry.revoke(device.deviceID) }
        try await file.save(registry)
        #expect(try lineCount(URL(filePath: path + ".journal")) == 1)
        #expect(try RegistryFile.load(path: path).count { $0.isRevoked } == 600)
    }

    @Test func anEnrolmentIsOnDiskBeforeItIsAnswered() async throws {
        let path = scratchFile()
        defer { remove(path) }
        let file = try RegistryFile(path: path)
        let side = try DeviceSide(registryFile: file)
        side.store.addCode("c0de")
        try await side.run { client in
            let answer = try await client.execute(
                uri: "/v1/enrollments", method: .post,
                headers: [.contentType: "application/json"],
                body: ByteBuffer(string: #"{"code":"c0de","name":"tablet"}"#))
            let token = try #require(try answer.json()["token"]?.text)
            let loaded = DeviceRegistry(try RegistryFile.load(path: path))
            #expect(loaded.find(tokenHash: .of(token.utf8)) != nil)
        }
    }

    @Test func theFirstRequestOfADeviceIsOnDiskBeforeItIsAnswered() async throws {
        let path = scratchFile()
        defer { remove(path) }
        let side = try DeviceSide(registryFile: try RegistryFile(path: path))
        try await side.run { client in
            let answer = try await client.execute(
                uri: "/v1/device", method: .get, headers: DeviceSide.authorization)
            #expect(answer.status == .ok)
            let loaded = DeviceRegistry(try RegistryFile.load(path: path))
            #expect(loaded.find(tokenHash: side.device.tokenHash)?.isSeen == true)
        }
    }

    /// What is sealed under a secret that is being replaced could not be opened any more.
    @Test func nobodyIsSeenForTheFirstTimeWhileItIsEnrolledAgain() async throws {
        let store = MemoryStore()
        let device = try store.addDevice(token: "one")
        let registry = DeviceRegistry([device])
        let authenticator = DeviceAuthenticator(registry: registry, directory: store)
        let fields: HTTPFields = [.authorization: "Bearer one"]
        let isAllowed = await registry.replacing { mayReplace in
            let isAllowed = mayReplace(device.deviceID)
            let found = try? await authenticator.authenticate(fields)
            #expect(found == nil)
            return isAllowed
        }
        #expect(isAllowed)
        #expect(try await authenticator.authenticate(fields).deviceID == device.deviceID)
        let isAllowedAgain = await registry.replacing { mayReplace in
            mayReplace(device.deviceID)
        }
        #expect(!isAllowedAgain)
    }

    /// An answer of the database that was read before a change must not undo it.
    @Test func anOldAnswerDoesNotOverwriteNews() throws {
        let store = MemoryStore()
        let old = try store.addDevice(token: "one")
        let registry = DeviceRegistry([old])
        let readAt = registry.changeCount
        var new = old
        new.tokenHash = .of("two".utf8)
        new.epoch = 2
        registry.merge([new])
        let fresh = try store.addDevice(token: "three")
        registry.merge([fresh])
        registry.merge([old], readAt: readAt)
        registry.replace(with: [old], readAt: readAt)
        #expect(registry.find(tokenHash: new.tokenHash) == new)
        #expect(registry.find(tokenHash: old.tokenHash) == nil)
        #expect(registry.find(tokenHash: fresh.tokenHash) == fresh)
        registry.revoke(fresh.deviceID)
        registry.merge([fresh])
        #expect(registry.find(tokenHash: fresh.tokenHash)?.isRevoked == true)
        // The database as a whole is believed: it may have been restored.
        registry.replace(with: [fresh, new], readAt: registry.changeCount)
        #expect(registry.find(tokenHash: fresh.tokenHash)?.isRevoked == false)
    }

    @Test func whatARotatedOrRevokedDeviceWaitsForEnds() throws {
        let store = MemoryStore()
        let bell = ReceiptBell()
        let device = try store.addDevice(token: "one")
        let registry = DeviceRegistry([device], bell: bell)
        #expect(registry.isCurrent(device))
        var rotated = device
        rotated.tokenHash = .of("two".utf8)
        rotated.epoch = 2
        registry.merge([rotated])
        #expect(!registry.isCurrent(device))
        #expect(registry.isCurrent(rotated))
        registry.revoke(device.deviceID)
        #expect(!registry.isCurrent(rotated))
    }

    private func remove(_ path: String) {
        // What is left in the temporary folder harms nobody.
        try? FileManager.default.removeItem(atPath: path)
        try? FileManager.default.removeItem(atPath: path + ".journal")
    }
}
