package import WaybillModel

/// How parts are received.
package struct UploadOptions: Sendable {
    /// A part up to this many bytes goes into the queue's log; a larger one into a file.
    package var inlineBytesMax = 256 << 10
    package var limits = Limits()

    package init() {}

    package init(inlineBytesMax: Int, limits: Limits) {
        self.inlineBytesMax = inlineBytesMax
        self.limits = limits
    }
}
