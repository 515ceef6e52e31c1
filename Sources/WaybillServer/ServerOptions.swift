package import ArgumentParser
internal import Foundation

/// The options that say how the server is configured, shared by the commands that need it.
package struct ServerOptions: ParsableArguments {
    @Option(help: "Directory of queue, parts, keys and snapshots (default: ./waybill-data).")
    package var dataDir: String?

    @Option(help: "Address that devices connect to (default: 127.0.0.1:8080).")
    package var deviceAddress: String?

    @Option(help: "Address of the operator's side (default: 127.0.0.1:8081).")
    package var adminAddress: String?

    @Option(help: "URL under which devices reach the server, without /v1.")
    package var publicUrl: String?

    @Option(help: "PostgreSQL connection URI; without one a private server is run.")
    package var databaseUrl: String?

    @Option(help: "PEM file with the certificate chain.")
    package var tlsCertificate: String?

    @Option(help: "PEM file with the private key.")
    package var tlsKey: String?

    @Option(help: "CIDR of a proxy that may forward plain HTTP; may be repeated.")
    package var trustedProxy: [String] = []

    @Flag(help: "Leave the schema as it is.")
    package var noMigrate = false

    @Option(help: "Configuration file: lines `key = value`.")
    package var config: String?

    @Option(help: "Directory with one file per secret setting.")
    package var secretsDir: String?

    @Option(name: .customLong("set"), help: "Any setting, as key=value; may be repeated.")
    package var settings: [String] = []

    package init() {}

    /// All layers, strongest first, with these options on top.
    ///
    /// - Throws: `ValidationError` for a `--set` that is not of the form `key=value`.
    func layers() throws -> SettingLayers {
        let settings = try settings.map { setting in
            guard let equals = setting.firstIndex(of: "=") else {
                throw ValidationError("--set wants key=value, not \(setting)")
            }
            return (
                key: String(setting[..<equals]),
                text: String(setting[setting.index(after: equals)...])
            )
        }
        var given: [String: String] = [:]
        given["data-dir"] = dataDir
        given["device-address"] = deviceAddress
        given["admin-address"] = adminAddress
        given["public-url"] = publicUrl
        given["database-url"] = databaseUrl
        given["tls-certificate"] = tlsCertificate
        given["tls-key"] = tlsKey
        if !trustedProxy.isEmpty { given["trusted-proxy"] = trustedProxy.joined(separator: ",") }
        if noMigrate { given["migrate"] = "false" }
        return SettingLayers(
            commandLine: given, settings: settings,
            environment: ProcessInfo.processInfo.environment, file: config,
            secretsDirectory: secretsDir)
    }

    /// The checked configuration; prints every problem and exits with 78 when there is one.
    func configuration() throws -> ServerConfiguration {
        do {
            return try ServerConfiguration(layers())
        } catch let fault as ConfigurationFault {
            throw fault.reported()
        }
    }
}

extension ConfigurationFault {
    /// Prints all problems on standard error; the exit code to end with.
    func reported() -> ExitCode {
        for problem in problems {
            FileHandle.standardError.write(Data("configuration: \(problem)\n".utf8))
        }
        return ExitCode(78)
    }
}
