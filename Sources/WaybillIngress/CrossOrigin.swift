internal import HTTPTypes
internal import Hummingbird

/// Lets pages of other origins call the device side from browsers and web views: the CORS protocol of
/// the Fetch standard (https://fetch.spec.whatwg.org/#http-cors-protocol).
///
/// An origin is let in to send requests and to read answers; who a device is says its token alone, as
/// no cookie counts here.
struct CrossOrigin: Sendable {
    private let origins: Set<String>
    private let isForAll: Bool

    /// How long a browser need not ask again.
    private static let maxAge = "7200"
    private static let methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

    /// Nil where no other origin is let in.
    ///
    /// - Parameter origins: as browsers write them, or `*` for all.
    init?(_ origins: Set<String>) {
        guard !origins.isEmpty else { return nil }
        self.origins = origins
        isForAll = origins.contains("*")
    }

    /// The answer to a browser that asks whether a page's request may be sent; nil for any other
    /// request, and for pages that are not let in.
    func preflight(_ request: Request) -> Response? {
        guard request.method == .options, isAllowed(request.headers),
            request.headers[.accessControlRequestMethod] != nil
        else { return nil }
        var headers: HTTPFields = [
            .accessControlAllowMethods: Self.methods, .accessControlMaxAge: Self.maxAge,
        ]
        // A star would leave out `Authorization`.
        headers[.accessControlAllowHeaders] = request.headers[.accessControlRequestHeaders]
        return Response(status: .noContent, headers: headers)
    }

    /// Lets the page that sent the request read the answer, all of it.
    func mark(_ response: inout Response, to request: Request) {
        if isForAll {
            // Also where nobody asks: what a cache keeps of an app's request serves a page's.
            response.headers[.accessControlAllowOrigin] = "*"
        } else {
            response.headers.append(HTTPField(name: .vary, value: "Origin"))
            guard isAllowed(request.headers) else { return }
            response.headers[.accessControlAllowOrigin] = request.headers[.origin]
        }
        // The date is added behind this.
        let names = Set(response.headers.map(\.name.canonicalName)).union(["date"])
        response.headers[.accessControlExposeHeaders] = names.sorted().joined(separator: ", ")
    }

    private func isAllowed(_ headers: HTTPFields) -> Bool {
        guard let origin = headers[.origin] else { return false }
        return isForAll || origins.contains(origin)
    }
}
