internal import ArgumentParser
internal import Foundation
internal import WaybillClient
internal import WaybillModel

/// How the operator's commands find the server.
struct AdminOptions: ParsableArguments {
    @Option(help: "The server's data directory; its address and a token lie there.")
    var dataDir = "./waybill-data"

    @Option(help: "The server's operator address; the token comes from WAYBILL_ADMIN_TOKEN.")
    var adminUrl: String?

    /// Calls `work` with a client of the server.
    func withClient(_ work: (AdminClient) async throws -> Void) async throws {
        try await reporting {
            let address = try address()
            let session = ClientSession()
            let client = AdminClient(baseURL: address.url, token: address.token, session: session)
            do {
                try await work(client)
            } catch {
                try await session.shutdown()
                throw error
            }
            try await session.shutdown()
        }
    }

    private func address() throws -> (url: String, token: String) {
        guard let adminUrl else {
            let file = try ServerAddress.read(dataDirectory: dataDir)
            return (file.adminURL, file.token)
        }
        guard let token = ProcessInfo.processInfo.environment["WAYBILL_ADMIN_TOKEN"] else {
            throw CommandFailure(
                .denied, "--admin-url needs an operator's token in WAYBILL_ADMIN_TOKEN")
        }
        return (adminUrl, token)
    }
}

extension ServerAddress {
    /// What the server that runs on the data directory has left there.
    static func read(dataDirectory: String) throws -> ServerAddress {
        let path = dataDirectory + "/admin.json"
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            let isDenied = (error as? CocoaError)?.code == .fileReadNoPermission
            throw CommandFailure(
                isDenied ? .denied : .unreachable,
                isDenied
                    ? "\(path) is not readable for this user"
                    : "no server has left its address in \(path); is it running, and is "
                        + "--data-dir right?")
        }
        do {
            return try JSONDecoder().decode(ServerAddress.self, from: data)
        } catch {
            throw CommandFailure(.failed, "\(path) is not understood: \(error)")
        }
    }
}
