internal import HTTPTypes
internal import Hummingbird
internal import WaybillModel
internal import WaybillStore
internal import WaybillThreads

/// What a device may ask for in a time, and how often a stranger may fail.
///
/// Only failures count against an address, and only requests that have to be looked up: the token of a
/// device in this node's registry is never refused for what others did; one that the registry does not
/// have yet waits behind an address that failed too often.
final class Quotas: Sendable {
    private let requests: RateLimiter<DeviceID>
    /// In units of a KiB.
    private let volume: RateLimiter<DeviceID>
    private let failures: RateLimiter<String>
    /// A body is never read beyond this, and never charged for more.
    private let bytesMax: Int

    /// A `PUT` or `PATCH` costs this at least, so that empty ones are not free.
    private static let bytesMin = 4 << 10

    init(_ options: IngressOptions) {
        let limits = options.limits
        bytesMax = limits.partBytesMax
        requests = RateLimiter(
            Rate(perSecond: limits.requestsPerSecond, burst: limits.requestsBurst))
        volume = RateLimiter(
            Rate(perSecond: limits.bytesPerSecond >> 10, burst: limits.bytesBurst >> 10))
        failures = RateLimiter(options.failureRate, keysMax: 100_000)
    }

    /// Charges a device for one request.
    ///
    /// - Parameter countsBytes: charged by the announced bytes in place of one request.
    /// - Throws: 429 with the seconds to wait.
    func charge(
        _ device: DeviceID, for request: Request, countsBytes: Bool
    ) throws(Problem) {
        let wait =
            countsBytes
            ? volume.takeOnCredit(units(of: request), of: device)
            : requests.take(of: device)
        guard let wait else { return }
        throw Problem(
            .rateLimited,
            countsBytes
                ? "This device has sent too much; wait \(wait) s."
                : "This device has asked too often; wait \(wait) s.",
            retryAfter: wait)
    }

    /// Charges a device for what a body without an announced length turned out to have.
    func charge(_ device: DeviceID, unannounced byteCount: Int, of request: Request) {
        guard Self.announced(request) == nil else { return }
        volume.charge(byteCount >> 10, to: device)
    }

    /// - Throws: 429 when too many requests from this address have failed of late.
    func checkFailures(of address: String) throws(Problem) {
        guard let wait = failures.check(address) else { return }
        throw Problem(
            .rateLimited, "Too many requests from this address were refused; wait \(wait) s.",
            retryAfter: wait)
    }

    /// Counts a request without a valid token, or with a code that is none.
    func countFailure(of address: String) {
        _ = failures.take(of: address)
    }

    private static func announced(_ request: Request) -> Int? {
        request.headers[.contentLength].flatMap { Int($0) }
    }

    /// What a request costs before its body is there, whatever length it announces.
    private func units(of request: Request) -> Int {
        let byteCount = min(Self.announced(request) ?? 0, bytesMax)
        return (max(byteCount, Self.bytesMin) - 1) >> 10 + 1
    }
}
