/// What bundle `number` of a run is to be; follows from the plan and the number alone.
package struct BundleRecipe: Sendable, Equatable {
    /// In the run, from 0.
    package var number: Int
    /// `number` modulo the number of devices.
    package var device: Int
    /// `device_seq`: from 1, in the order in which the device sends.
    package var sequence: Int64
    /// Of the plan's mix.
    package var shape: Int
    package var fault: BundleFault?
    package var resend: Resend?
    package var cut: Cut?
    /// Its parts go as resumable uploads.
    package var isResumable: Bool

    package init(
        number: Int, device: Int, sequence: Int64, shape: Int, fault: BundleFault? = nil,
        resend: Resend? = nil, cut: Cut? = nil, isResumable: Bool = false
    ) {
        self.number = number
        self.device = device
        self.sequence = sequence
        self.shape = shape
        self.fault = fault
        self.resend = resend
        self.cut = cut
        self.isResumable = isResumable
    }

    /// When the same bytes go a second time.
    package enum Resend: Sendable, Equatable, CaseIterable {
        /// Right after the acknowledgement.
        case atOnce
        /// When its receipt has come.
        case whenSettled
    }

    /// Where the connection of the first try is cut.
    package enum Cut: Sendable, Equatable {
        /// After this share of the request's bytes, 0 to 1.
        case within(Double)
        /// After the whole request, before the answer.
        case beforeAnswer
    }
}

/// What is wrong with a whole bundle.
package enum BundleFault: String, Sendable, Equatable, CaseIterable {
    /// Sealed under another device's secret: `cannot_open`.
    case wrongPassword
    /// The header names another bundle: `binding_mismatch`.
    case otherBundle
    /// Flipped ciphertext: `cannot_open`.
    case flippedByte
    /// The header counts one transaction fewer than there are: `binding_mismatch`. (One more could
    /// be over the bundle's limit, which is another fault.)
    case miscounted
    /// Cut in the middle: refused at once with 422.
    case truncated
    /// Not a ZIP file: refused at once with 422.
    case notZip

    /// Refused when it is uploaded; the others are received and quarantined.
    package var isRefused: Bool { self == .truncated || self == .notZip }
}
