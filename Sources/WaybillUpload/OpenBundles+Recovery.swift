internal import Logging
internal import WaybillModel

extension OpenBundles {
    /// What a journal on disk amounts to at start; nil for one that is not an unfinished bundle's.
    static func recover(
        _ name: String, _ bytes: [UInt8]?, from files: JournalFiles, _ logger: Logger,
        isHandedOver: (BundleKey) -> Bool, byteCountOfFile: (String) -> Int?
    ) -> OpenBundle? {
        guard let key = JournalFiles.key(of: name) else {
            logger.warning("a file among the journals is none", metadata: ["file": "\(name)"])
            return nil
        }
        guard !isHandedOver(key) else {
            moveToDone(key, files, logger)
            return nil
        }
        let contents: BundleJournal.Contents
        do {
            contents = try BundleJournal.read(bytes ?? [], of: key)
        } catch {
            logger.error(
                "a declaration is damaged and set aside: its device declares it again",
                metadata: ["file": "\(name)", "error": "\(error.rawValue)"])
            files.setAside(name)
            return nil
        }
        if let fault = contents.fault {
            // A torn frame is a write that nobody was told of.
            logger.log(
                level: fault == .torn ? .info : .error, "the end of a journal is dropped",
                metadata: ["file": "\(name)", "error": "\(fault.rawValue)"])
        }
        guard contents.expiredAt == nil else {
            moveToDone(key, files, logger)
            return nil
        }
        return checked(contents.bundle, files, logger, byteCountOfFile)
    }

    /// Takes back the parts whose files are not what the journal says.
    private static func checked(
        _ bundle: OpenBundle, _ files: JournalFiles, _ logger: Logger,
        _ byteCountOfFile: (String) -> Int?
    ) -> OpenBundle? {
        var bundle = bundle
        let wasComplete = bundle.isComplete
        for case let part? in bundle.completed
        where byteCountOfFile(part.fileName) != part.byteCount {
            bundle.remove(part.number)
            logger.log(
                level: wasComplete ? .notice : .error,
                "the file of a part is missing or damaged: its device sends it again",
                metadata: [
                    "bundle.id": "\(bundle.key.bundleID)", "part": "\(part.number)",
                    "file": "\(part.fileName)",
                ])
        }
        guard wasComplete, bundle.completedCount == 0 else { return bundle }
        // Files of a complete bundle go only after it was handed over and settled. When some are
        // there, the last part was refused after its entry had reached the disk.
        logger.notice(
            "a complete bundle whose files are gone counts as handed over",
            metadata: ["bundle.id": "\(bundle.key.bundleID)"])
        moveToDone(bundle.key, files, logger)
        return nil
    }

    private static func moveToDone(_ key: BundleKey, _ files: JournalFiles, _ logger: Logger) {
        do {
            try files.moveToDone(key)
        } catch {
            logger.warning(
                "a journal that is done stays",
                metadata: ["bundle.id": "\(key.bundleID)", "error": "\(error)"])
        }
    }
}
