/// What the header of a part must say, known from the delivery and not from the content.
package struct ExpectedBinding: Sendable, Equatable {
    /// 16 bytes in network order.
    package var bundleID: [UInt8]
    /// 16 bytes in network order.
    package var deviceID: [UInt8]
    /// Counted from 1.
    package var part: Int
    package var parts: Int
    /// The most transactions that the part may announce; nil for no limit.
    package var transactionsMax: Int?
    /// The most that the whole bundle may have, to be named when the part has too many.
    package var bundleTransactionsMax: Int?

    package init(
        bundleID: [UInt8], deviceID: [UInt8], part: Int, parts: Int, transactionsMax: Int? = nil,
        bundleTransactionsMax: Int? = nil
    ) {
        self.bundleID = bundleID
        self.deviceID = deviceID
        self.part = part
        self.parts = parts
        self.transactionsMax = transactionsMax
        self.bundleTransactionsMax = bundleTransactionsMax
    }
}

/// What the header says beyond its binding.
package struct ParsedHeader: Sendable, Equatable {
    /// The lines after the header in this part.
    package var transactions: Int
    /// From 1; nil when the device does not count its bundles.
    package var deviceSequence: Int64?
    /// Since 1970 in UTC, by the device's clock; nil before the header was read.
    package var sealedAtMicroseconds: Int64?

    package init(
        transactions: Int, deviceSequence: Int64? = nil, sealedAtMicroseconds: Int64? = nil
    ) {
        self.transactions = transactions
        self.deviceSequence = deviceSequence
        self.sealedAtMicroseconds = sealedAtMicroseconds
    }
}
