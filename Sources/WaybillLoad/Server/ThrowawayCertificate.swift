internal import Foundation

/// A certificate for one run, of an authority that only this run knows.
struct ThrowawayCertificate: Sendable {
    /// PEM; whom the generator trusts.
    let authority: String
    /// PEM; what the server shows.
    let certificate: String
    let key: String

    /// - Parameters:
    ///   - directory: holds the files; is made.
    ///   - address: IP address of the server.
    static func make(
        in directory: String, address: String
    ) async throws(ServerFailure) -> ThrowawayCertificate {
        let names = directory + "/names"
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700])
            try "subjectAltName=IP:\(address)\n".write(
                toFile: names, atomically: false, encoding: .utf8)
        } catch {
            throw .toolFailed("\(directory) cannot be made: \(error)")
        }
        let files = ThrowawayCertificate(
            authority: directory + "/authority.pem", certificate: directory + "/server.pem",
            key: directory + "/server.key")
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        let authorityKey = directory + "/authority.key"
        try await SystemTool.run(
            ["openssl", "req", "-x509"] + curve + [
                "-keyout", authorityKey, "-out", files.authority, "-days", "2", "-subj",
                "/CN=Waybill load test",
            ])
        let request = directory + "/server.request"
        try await SystemTool.run(
            ["openssl", "req"] + curve + [
                "-keyout", files.key, "-out", request, "-subj", "/CN=\(address)",
            ])
        try await SystemTool.run([
            "openssl", "x509", "-req", "-in", request, "-CA", files.authority, "-CAkey",
            authorityKey, "-CAcreateserial", "-out", files.certificate, "-days", "2", "-extfile",
            names,
        ])
        return files
    }
}
