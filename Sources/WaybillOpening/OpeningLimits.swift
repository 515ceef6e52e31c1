/// What a part may cost to open and to read.
package struct OpeningLimits: Sendable {
    /// One line without its line feed.
    package var recordBytesMax: Int
    /// The entry, inflated.
    package var partUnzippedBytesMax: Int
    /// Inflated bytes per zipped byte, past the first MiB.
    package var ratioMax: Int
    /// Objects and arrays within each other; the line's own object counts.
    package var depthMax: Int

    package init(
        recordBytesMax: Int = 1 << 20, partUnzippedBytesMax: Int = 256 << 20, ratioMax: Int = 200,
        depthMax: Int = 128
    ) {
        self.recordBytesMax = recordBytesMax
        self.partUnzippedBytesMax = partUnzippedBytesMax
        self.ratioMax = ratioMax
        self.depthMax = depthMax
    }
}
