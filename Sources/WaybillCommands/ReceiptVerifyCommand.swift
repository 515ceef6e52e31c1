internal import ArgumentParser
internal import Foundation
internal import WaybillClient
internal import WaybillModel

struct ReceiptVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Check receipts' hashes, signatures and chain.",
        discussion: "Exits with 2 when a receipt is not to be believed.")

    @Argument(help: "A receipt, or a page {\"receipts\":[…]} as the server sent it; - is stdin.")
    var file: String

    @Option(help: "File with the public keys: what /.well-known/waybill-keys.json answers.")
    var keys: String?

    @Option(help: "Fetch the public keys from this server instead.")
    var url: String?

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (keys == nil) != (url == nil) else {
            throw ValidationError("give either --keys or --url")
        }
    }

    func run() async throws {
        try await reporting {
            let documents = try ReceiptFile.documents(try InputFile.read(file))
            let book = try ReceiptBook(try await keySet())
            let summary: ReceiptSummary
            do {
                summary = try book.check(documents)
            } catch {
                throw CommandFailure(.checkNotMet, "not to be believed: \(error)")
            }
            try output.show(summary) { summary.line }
        }
    }

    private func keySet() async throws -> ReceiptKeySet {
        if let keys {
            do {
                return try JSONDecoder().decode(
                    ReceiptKeySet.self, from: Data(try InputFile.read(keys)))
            } catch let error as CommandFailure {
                throw error
            } catch {
                throw CommandFailure(.failed, "\(keys) is no set of keys: \(error)")
            }
        }
        let session = ClientSession()
        do {
            let set = try await DeviceClient(baseURL: url ?? "", token: nil, session: session)
                .keys()
            try await session.shutdown()
            return set
        } catch {
            try await session.shutdown()
            throw error
        }
    }
}
