import Foundation
import HTTPTypes
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
        }
        #expect(try RegistryFile.load(path: path).isEmpty)
        let device = try MemoryStore().addDevice(token: "secret-token")
        try await RegistryFile(path: path).save([device])
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
            while store.seen.isEmpty { await Task.yield() }
            group.cancelAll()
            try await group.waitForAll()
        }
        #expect(store.seen.first == device.deviceID)
        #expect(try RegistryFile.load(path: path).first?.isSeen == true)
    }
}
