/// Reads line 1 of an entry and compares it with the delivery.
enum HeaderReader {
    /// Throws `.headerInvalid` for what is no header of version 1, `.bindingMismatch` for one that
    /// belongs elsewhere.
    static func read(
        _ line: ArraySlice<UInt8>, binding: ExpectedBinding, depthMax: Int
    ) throws(OpeningError) -> ParsedHeader {
        var scanner = LineScanner(depthMax: depthMax)
        let fault = unsafe line.withUnsafeBytes { unsafe scanner.scan($0) }
        if let fault { throw .headerInvalid("\(fault.detail)") }
        let found = Found(scanner)
        guard scanner.integer(found.version) == 1 else {
            throw .headerInvalid("waybill is 1")
        }
        guard let bundle = unsafe scanner.string(found.bundleID).flatMap({ unsafe UUIDWords($0) }),
            let device = unsafe scanner.string(found.deviceID).flatMap({ unsafe UUIDWords($0) })
        else { throw .headerInvalid("bundle_id and device_id are UUIDs") }
        guard let part = scanner.integer(found.part), let parts = scanner.integer(found.parts),
            let transactions = scanner.integer(found.transactions), transactions >= 0
        else { throw .headerInvalid("part, parts and transactions are whole numbers") }
        let header = ParsedHeader(
            transactions: Int(transactions),
            deviceSequence: try deviceSequence(found, scanner),
            sealedAtMicroseconds: try sealedAt(found, scanner))
        guard bundle.bytes == binding.bundleID else {
            throw .bindingMismatch("the header's bundle_id is another bundle's")
        }
        guard device.bytes == binding.deviceID else {
            throw .bindingMismatch("the header's device_id is another device's")
        }
        guard part == binding.part else {
            throw .bindingMismatch("the header's part is not the number of this part")
        }
        guard parts == binding.parts else {
            throw .bindingMismatch("the header's parts is not how many the bundle has")
        }
        if let most = binding.transactionsMax, header.transactions > most {
            throw .tooManyTransactions(most: binding.bundleTransactionsMax ?? most)
        }
        return header
    }

    private struct Found {
        var version: LineScanner.Member?
        var bundleID: LineScanner.Member?
        var deviceID: LineScanner.Member?
        var part: LineScanner.Member?
        var parts: LineScanner.Member?
        var transactions: LineScanner.Member?
        var deviceSequence: LineScanner.Member?
        var sealedAt: LineScanner.Member?

        init(_ scanner: borrowing LineScanner) {
            for member in scanner.members {
                if scanner.hasKey(member, "waybill") { version = member }
                if scanner.hasKey(member, "bundle_id") { bundleID = member }
                if scanner.hasKey(member, "device_id") { deviceID = member }
                if scanner.hasKey(member, "part") { part = member }
                if scanner.hasKey(member, "parts") { parts = member }
                if scanner.hasKey(member, "transactions") { transactions = member }
                if scanner.hasKey(member, "device_seq") { deviceSequence = member }
                if scanner.hasKey(member, "sealed_at") { sealedAt = member }
            }
        }
    }

    private static func deviceSequence(
        _ found: Found, _ scanner: borrowing LineScanner
    ) throws(OpeningError) -> Int64? {
        guard let member = found.deviceSequence, member.kind != .null else { return nil }
        guard let value = scanner.integer(member), value >= 1 else {
            throw .headerInvalid("device_seq is a whole number from 1")
        }
        return value
    }

    private static func sealedAt(
        _ found: Found, _ scanner: borrowing LineScanner
    ) throws(OpeningError) -> Int64 {
        guard let text = unsafe scanner.string(found.sealedAt),
            let time = unsafe DateTime(text)
        else { throw .headerInvalid("sealed_at is an RFC 3339 time with offset") }
        return time.microseconds
    }
}
