internal import Foundation
internal import WaybillModel
internal import WaybillThreads

/// 32 bytes in hexadecimal in a file that only its owner may read.
enum KeyFile {
    /// Reads the key; makes one where the file is missing and `mayCreate` says so.
    ///
    /// - Returns: 32 bytes, and whether the key is new.
    /// - Throws: ``ConfigurationFault`` naming the file and what is wrong with it.
    static func load(
        _ path: String, mayCreate: Bool
    ) throws(ConfigurationFault) -> (key: [UInt8], isNew: Bool) {
        if !FileManager.default.fileExists(atPath: path) {
            guard mayCreate else {
                throw fault(path, "is missing, and there is data that was sealed with it")
            }
            return (try create(path), true)
        }
        let mode = try permissions(of: path)
        guard mode & 0o077 == 0 else {
            throw fault(
                path, "has mode \(String(mode, radix: 8)): others may read it; chmod 600 it")
        }
        guard let content = FileManager.default.contents(atPath: path) else {
            throw fault(path, "cannot be read")
        }
        let digits = content.filter { $0 > 0x20 }
        guard digits.count == 64,
            let key = Hexadecimal.decode(String(decoding: digits, as: UTF8.self))
        else {
            throw fault(path, "must hold 64 hexadecimal digits")
        }
        return (key, false)
    }

    private static func create(_ path: String) throws(ConfigurationFault) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        let key = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        let text = Hexadecimal.encode(key)
        do {
            try DurableDirectory.make(URL(filePath: path).deletingLastPathComponent().path)
            try DurableFile.write(Array((text + "\n").utf8), to: path, mode: 0o600)
        } catch {
            throw fault(path, "cannot be made: \(error)")
        }
        return key
    }

    private static func permissions(of path: String) throws(ConfigurationFault) -> Int {
        do {
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            return (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0o777
        } catch {
            throw fault(path, "cannot be examined")
        }
    }

    private static func fault(_ path: String, _ what: String) -> ConfigurationFault {
        ConfigurationFault(problems: ["key file \(path) \(what)"])
    }
}
