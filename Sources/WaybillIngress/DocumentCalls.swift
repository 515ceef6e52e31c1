internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import OpenAPIDocument
package import WaybillModel

extension ServedDocument {
    /// The contract in machine form: OpenAPI 3.1 of both sides.
    package static let openAPI = ServedDocument(
        bytes: OpenAPIDocument.yaml, mediaType: "application/yaml")
}

/// `GET /openapi.yaml`, with and without `/v1`; no token is asked for.
struct DocumentCalls: Sendable {
    private let document = ServedDocument.openAPI

    /// The document, or 304 to a client that has it.
    func get(_ call: DeviceCall) async throws -> Response {
        let headers: HTTPFields = [.eTag: document.tag, .cacheControl: "public, max-age=300"]
        if document.isKnown(to: call.request.headers[.ifNoneMatch]) {
            return Response(status: .notModified, headers: headers)
        }
        var response = Response(
            status: .ok, headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: document.bytes)))
        response.headers[.contentType] = document.mediaType
        return response
    }
}
