internal import NIOCore
internal import WaybillModel

/// A device's requests, made as far as they can be made beforehand.
struct RequestHeads: Sendable {
    private let path: String
    /// Up to the bundle's id.
    private let whole: [UInt8]
    /// What all requests of the device have, up to the end of the head.
    private let common: [UInt8]
    private let epoch: Int

    init(device: LoadDevice, target: ServerTarget) {
        path = target.path
        epoch = device.epoch
        let fields = "Host: \(target.authority)\r\nAuthorization: Bearer \(device.token)\r\n"
        common = Array(" HTTP/1.1\r\n\(fields)".utf8)
        whole = Array(
            ("POST \(path)/bundles HTTP/1.1\r\n\(fields)Content-Type: application/zip\r\n"
                + "Waybill-Epoch: \(epoch)\r\nIdempotency-Key: \"").utf8)
    }

    /// `POST /bundles` with the archive. This is the only copy of a body that is made here.
    func writeWhole(_ bundle: SealedBundle, to buffer: inout ByteBuffer) {
        let part = bundle.parts[0]
        buffer.reserveCapacity(minimumWritableBytes: whole.count + 96 + part.count)
        buffer.writeBytes(whole)
        buffer.writeString(bundle.id.description)
        buffer.writeStaticString("\"\r\nContent-Length: ")
        buffer.writeString(String(part.count))
        buffer.writeStaticString("\r\n\r\n")
        buffer.writeBytes(part)
    }

    /// `POST /bundles` with a declaration.
    func writeDeclaration(_ bundle: SealedBundle, to buffer: inout ByteBuffer) {
        var text = #"{"bundle_id":"\#(bundle.id)","epoch":\#(epoch),"parts":["#
        for (number, part) in bundle.parts.enumerated() {
            if number > 0 { text += "," }
            text += #"{"size":\#(part.count),"sha256":"\#(bundle.partDigests[number])"}"#
        }
        writeJSON("POST \(path)/bundles", text + "]}", to: &buffer)
    }

    /// `PUT /bundles/{id}/parts/{n}`.
    ///
    /// - Parameter index: of the part, from 0.
    func writePart(_ index: Int, of bundle: SealedBundle, to buffer: inout ByteBuffer) {
        let part = bundle.parts[index]
        buffer.reserveCapacity(minimumWritableBytes: common.count + 256 + part.count)
        buffer.writeString("PUT \(path)/bundles/\(bundle.id)/parts/\(index + 1)")
        buffer.writeBytes(common)
        buffer.writeStaticString("Content-Type: application/zip\r\nContent-Length: ")
        buffer.writeString("\(part.count)\r\n\r\n")
        buffer.writeBytes(part)
    }

    /// `POST /bundles` that begins a resumable upload and has no body.
    func writeBeginning(_ bundle: SealedBundle, to buffer: inout ByteBuffer) {
        buffer.writeBytes(whole)
        buffer.writeString(bundle.id.description)
        buffer.writeString(
            "\"\r\nUpload-Complete: ?0\r\nUpload-Length: \(bundle.parts[0].count)\r\n"
                + "Content-Length: 0\r\n\r\n")
    }

    /// `PATCH /bundles/{id}/parts/{n}` with all bytes from an offset on.
    ///
    /// - Parameter index: of the part, from 0.
    func writeRest(
        _ index: Int, from offset: Int, of bundle: SealedBundle, to buffer: inout ByteBuffer
    ) {
        let rest = bundle.parts[index][offset...]
        buffer.reserveCapacity(minimumWritableBytes: common.count + 320 + rest.count)
        buffer.writeString("PATCH \(path)/bundles/\(bundle.id)/parts/\(index + 1)")
        buffer.writeBytes(common)
        buffer.writeString(
            "Content-Type: application/partial-upload\r\nUpload-Offset: \(offset)\r\n"
                + "Upload-Complete: ?1\r\nContent-Length: \(rest.count)\r\n\r\n")
        buffer.writeBytes(rest)
    }

    func writeGivingUp(_ id: BundleID, to buffer: inout ByteBuffer) {
        writeBare("DELETE \(path)/bundles/\(id)", to: &buffer)
    }

    func writeStatusQuestion(_ id: BundleID, to buffer: inout ByteBuffer) {
        writeBare("GET \(path)/bundles/\(id)", to: &buffer)
    }

    func writePoll(after: Int64, waitSeconds: Int, to buffer: inout ByteBuffer) {
        writeBare(
            "GET \(path)/receipts?after=\(after)&limit=1000&wait=\(waitSeconds)", to: &buffer)
    }

    func writeConfirmation(through: Int64, to buffer: inout ByteBuffer) {
        writeJSON("POST \(path)/receipts/confirm", #"{"through":\#(through)}"#, to: &buffer)
    }

    private func writeBare(_ start: String, to buffer: inout ByteBuffer) {
        buffer.writeString(start)
        buffer.writeBytes(common)
        buffer.writeStaticString("\r\n")
    }

    private func writeJSON(_ start: String, _ text: String, to buffer: inout ByteBuffer) {
        buffer.writeString(start)
        buffer.writeBytes(common)
        buffer.writeStaticString("Content-Type: application/json\r\nContent-Length: ")
        buffer.writeString("\(text.utf8.count)\r\n\r\n")
        buffer.writeString(text)
    }
}
