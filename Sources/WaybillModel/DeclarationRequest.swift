/// `POST /v1/bundles` as JSON: a bundle of many parts, before the parts.
package struct DeclarationRequest: Codable, Sendable {
    package var bundleID: BundleID
    /// Under which key epoch it was sealed; nil for the current one.
    package var epoch: Int?
    package var parts: [Part]

    package struct Part: Codable, Sendable {
        /// Bytes.
        package var size: Int
        /// Lower-case hexadecimal.
        package var sha256: String

        package init(size: Int, sha256: String) {
            self.size = size
            self.sha256 = sha256
        }
    }

    package init(bundleID: BundleID, epoch: Int?, parts: [Part]) {
        self.bundleID = bundleID
        self.epoch = epoch
        self.parts = parts
    }

    enum CodingKeys: String, CodingKey {
        case epoch, parts
        case bundleID = "bundle_id"
    }
}
