internal import ArgumentParser
internal import Foundation
internal import WaybillModel
internal import WaybillSealing

/// What a part's password and its header are bound to.
struct PartOptions: ParsableArguments {
    @Option(help: "File with the device's secret: 32 bytes, or their base64url text.")
    var secretFile: String

    @Option(help: "The device's tenant.")
    var tenant: TenantSlug

    @Option(help: "The device's id.")
    var device: DeviceID

    @Option(help: "Epoch of the secret.")
    var epoch = 1

    @Option(help: "Number of this part, from 1.")
    var part = 1

    @Option(help: "How many parts the bundle has.")
    var parts = 1

    func validate() throws {
        guard epoch >= 1 else { throw ValidationError("--epoch counts from 1") }
        guard (1...1000).contains(parts), (1...parts).contains(part) else {
            throw ValidationError("--part is 1 to --parts, --parts is at most 1000")
        }
    }

    func password(bundle: BundleID) throws -> [UInt8] {
        PartPassword.derive(
            secret: try secret(),
            identity: PartIdentity(
                tenant: tenant.text, deviceID: device.description, bundleID: bundle.bytes,
                epoch: epoch, part: part))
    }

    private func secret() throws -> [UInt8] {
        let bytes = try InputFile.read(secretFile)
        if bytes.count == 32 { return bytes }
        let text = String(decoding: bytes, as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        guard let secret = Base64URL.decode(text), secret.count == 32 else {
            throw CommandFailure(
                .failed, "\(secretFile) holds neither 32 bytes nor their base64url text")
        }
        return secret
    }
}

/// A file named on the command line.
enum InputFile {
    /// - Parameter path: `-` is standard input.
    static func read(_ path: String) throws -> [UInt8] {
        do {
            if path == "-" { return Array(try FileHandle.standardInput.readToEnd() ?? Data()) }
            return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw CommandFailure(.failed, "\(path) cannot be read")
        }
    }
}
