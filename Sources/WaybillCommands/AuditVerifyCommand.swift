internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct AuditVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Walk along the chains of audit rows and receipts and check every link.",
        discussion: "Exits with 2 and names what was edited, taken out or put elsewhere.")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let result = try await client.verifyAudit()
            try output.show(result) { result.lines }
            if let error = result.error {
                throw CommandFailure(.failed, "the walk ended before its end: \(error)")
            }
            guard result.intact else {
                throw CommandFailure(.checkNotMet, "\(result.faultCount) faults")
            }
        }
    }
}

extension AuditVerification {
    /// For a person.
    fileprivate var lines: String {
        var table = TextTable([])
        for fault in faults {
            let chain =
                fault.chain == DeviceID(high: 0, low: 0) ? "operators" : fault.chain.description
            table.add([
                fault.trail.rawValue, fault.kind.rawValue, "\(chain) #\(fault.sequence)",
                fault.detail,
            ])
        }
        let sum = "\(auditRows) audit rows and \(receipts) receipts in \(chains) chains"
        guard faultCount > 0 else { return sum + ": unchanged" }
        let rest = faultCount - faults.count
        return "\(sum): \(faultCount) faults\n\(table.text)"
            + (rest > 0 ? "\nand \(rest) more" : "")
    }
}
