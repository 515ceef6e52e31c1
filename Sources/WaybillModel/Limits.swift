/// What a device may send, as told in `limits` (CONTRACT.md, Limits). All sizes in bytes.
package struct Limits: Codable, Sendable, Equatable {
    /// One line of an entry, without its line feed.
    package var recordBytesMax = 1 << 20
    /// One part as uploaded.
    package var partBytesMax = 64 << 20
    /// One part's entry, inflated.
    package var partUnzippedBytesMax = 256 << 20
    /// Inflated bytes per zipped byte, past the first MiB.
    package var partRatioMax = 200
    package var bundleBytesMax = 1 << 30
    package var bundleUnzippedBytesMax = 4 << 30
    package var bundlePartsMax = 1000
    package var bundleTransactionsMax = 100_000
    /// Unfinished bundles a device may have.
    package var openBundlesMax = 8
    /// Bytes of unfinished bundles a device may have, complete parts included.
    package var openBytesMax = 1 << 30
    package var headerBytesMax = 16 << 10
    package var requestsPerSecond = 50
    package var requestsBurst = 200
    /// What `PUT` and `PATCH` are charged by, in place of requests.
    package var bytesPerSecond = 32 << 20
    package var bytesBurst = 256 << 20
    /// For a request's head to be complete.
    package var headerSecondsMax = 10
    /// That a body must bring, over ``bodyRateSeconds``.
    package var bodyBytesPerSecondMin = 1 << 10
    package var bodyRateSeconds = 30

    package init() {}

    enum CodingKeys: String, CodingKey {
        case recordBytesMax = "record_bytes_max"
        case partBytesMax = "part_bytes_max"
        case partUnzippedBytesMax = "part_unzipped_bytes_max"
        case partRatioMax = "part_ratio_max"
        case bundleBytesMax = "bundle_bytes_max"
        case bundleUnzippedBytesMax = "bundle_unzipped_bytes_max"
        case bundlePartsMax = "bundle_parts_max"
        case bundleTransactionsMax = "bundle_transactions_max"
        case openBundlesMax = "open_bundles_max"
        case openBytesMax = "open_bytes_max"
        case headerBytesMax = "header_bytes_max"
        case requestsPerSecond = "requests_per_second"
        case requestsBurst = "requests_burst"
        case bytesPerSecond = "bytes_per_second"
        case bytesBurst = "bytes_burst"
        case headerSecondsMax = "header_seconds_max"
        case bodyBytesPerSecondMin = "body_bytes_per_second_min"
        case bodyRateSeconds = "body_rate_seconds"
    }
}
