internal import Logging
internal import WaybillModel
internal import WaybillQueue

/// The queue's master keys as they were read: the one of new segments, and those before it.
struct MasterKeyFiles {
    struct Key {
        let path: String
        let bytes: [UInt8]
        /// As segments name it.
        let id: String
        /// It was made just now.
        let isNew: Bool
    }

    static let currentSetting = "master-key-file"
    static let previousSetting = "previous-master-key-files"

    let current: Key
    let previous: [Key]

    /// Reads all files; makes the current one where there is no log and no previous key yet.
    ///
    /// - Throws: ``ConfigurationFault`` with every file that is no key, and the keys that the log wants.
    static func load(
        _ configuration: ServerConfiguration, _ directory: DataDirectory
    ) throws(ConfigurationFault) -> MasterKeyFiles {
        var problems: [String] = []
        let previous = configuration.previousMasterKeyFiles.compactMap { path in
            read(path, mayCreate: false, previousSetting, &problems)
        }
        // No key is made for a server that will not start.
        let mayCreate =
            !directory.hasLog && configuration.previousMasterKeyFiles.isEmpty && problems.isEmpty
        let current = read(
            configuration.masterKeyFile, mayCreate: mayCreate, currentSetting, &problems)
        guard let current, problems.isEmpty else {
            let wanted = MasterKeyRegister.wanted(by: directory.log)
            if !wanted.isEmpty {
                problems.append(
                    "the queue in \(directory.log) wants the master key "
                        + wanted.joined(separator: " and ") + ": \(currentSetting) names the file "
                        + "of the one for new segments, \(previousSetting) those of the others")
            }
            throw ConfigurationFault(problems: problems)
        }
        return MasterKeyFiles(current: current, previous: previous)
    }

    private static func read(
        _ path: String, mayCreate: Bool, _ setting: String, _ problems: inout [String]
    ) -> Key? {
        do throws(ConfigurationFault) {
            let loaded = try KeyFile.load(path, mayCreate: mayCreate)
            let id = MasterKeyRegister.keyID(of: loaded.key) ?? ""
            return Key(path: path, bytes: loaded.key, id: id, isNew: loaded.isNew)
        } catch {
            problems += error.problems.map { "\(setting): \($0)" }
            return nil
        }
    }

    /// What to say when none of the keys is the one with this id, which segments name.
    func lack(of keyID: String, _ directory: DataDirectory) -> ConfigurationFault {
        let given = ([current] + previous).map { "\($0.path) holds \($0.id)" }
        return ConfigurationFault(problems: [
            "\(Self.currentSetting): the queue in \(directory.log) wants the master key \(keyID); "
                + "if it was replaced, name its file in \(Self.previousSetting) ("
                + given.joined(separator: ", ") + ")"
        ])
    }

    /// Tells the log which keys are in use and which files can be dropped.
    func tell(_ keys: [QueueMasterKey], _ logger: Logger) {
        for key in keys {
            let file = ([current] + previous).first { $0.id == key.keyID }
            let metadata: Logger.Metadata = [
                "key.id": "\(key.keyID)", "key.file": "\(file?.path ?? "")",
                "key.segments": "\(key.segments)",
            ]
            if key.isCurrent {
                logger.info("new log segments are made under this master key", metadata: metadata)
            } else if key.segments > 0 {
                logger.notice(
                    "log segments are still under a previous master key: keep its file",
                    metadata: metadata)
            } else {
                logger.notice(
                    "no log segment is under this previous master key: its file can be dropped",
                    metadata: metadata)
            }
        }
    }
}
