package import WaybillModel

/// How parts are received.
package struct UploadOptions: Sendable {
    /// A part up to this many bytes goes into the queue's log; a larger one into a file.
    package var inlineBytesMax = 256 << 10
    package var limits = Limits()

    /// A declared bundle to which nothing was added for this long is given up.
    package var openBundleAge: Duration = .seconds(30 * 86400)
    /// For how long the declaration of a bundle that is done is remembered.
    package var doneBundleAge: Duration = .seconds(7 * 86400)

    package init() {}

    package init(inlineBytesMax: Int, limits: Limits) {
        self.inlineBytesMax = inlineBytesMax
        self.limits = limits
    }
}
