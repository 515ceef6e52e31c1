package import WaybillModel

/// What must become of a bundle that was acknowledged; made again from its number whenever needed.
package struct Expectation: Sendable, Equatable {
    package var counts: OutcomeCounts
    /// All that is not accepted, by rising index.
    package var exceptions: [Exception]
    /// Nil for a bundle that is settled.
    package var quarantine: QuarantineCode?
    package var digest: Digest256

    package init(
        counts: OutcomeCounts, exceptions: [Exception], quarantine: QuarantineCode?,
        digest: Digest256
    ) {
        self.counts = counts
        self.exceptions = exceptions
        self.quarantine = quarantine
        self.digest = digest
    }

    package struct Exception: Sendable, Equatable {
        package var index: Int
        /// Nil where the line has no readable id.
        package var id: TransactionID?
        package var outcome: Outcome
        /// Of a rejection.
        package var code: RejectionCode?

        package init(index: Int, id: TransactionID?, outcome: Outcome, code: RejectionCode?) {
            self.index = index
            self.id = id
            self.outcome = outcome
            self.code = code
        }
    }
}

/// A transaction as its row must look.
package struct ExpectedRow: Sendable, Equatable {
    package var id: TransactionID
    package var index: Int
    package var type: String
    /// Microseconds since 1970.
    package var occurredAt: Int64
    package var offsetMinutes: Int
    package var actor: String?
    package var content: Content

    package init(
        id: TransactionID, index: Int, type: String, occurredAt: Int64, offsetMinutes: Int,
        actor: String?, content: Content
    ) {
        self.id = id
        self.index = index
        self.type = type
        self.occurredAt = occurredAt
        self.offsetMinutes = offsetMinutes
        self.actor = actor
        self.content = content
    }

    package enum Content: Sendable, Equatable {
        /// As `jsonb` prints it: members by length and bytes, one space after `:` and `,`.
        case payload([UInt8])
        case body(contentType: String, [UInt8])
    }
}

/// A bundle's bytes, ready to be sent.
package struct SealedBundle: Sendable {
    package var number: Int
    package var id: BundleID
    package var parts: [[UInt8]]
    package var partDigests: [Digest256]
    package var digest: Digest256

    package init(
        number: Int, id: BundleID, parts: [[UInt8]], partDigests: [Digest256], digest: Digest256
    ) {
        self.number = number
        self.id = id
        self.parts = parts
        self.partDigests = partDigests
        self.digest = digest
    }

    package var byteCount: Int { parts.reduce(0) { $0 + $1.count } }
}
