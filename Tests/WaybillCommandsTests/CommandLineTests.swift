internal import ArgumentParser
internal import Testing
internal import WaybillClient
internal import WaybillModel

@testable internal import WaybillCommands

@Suite("Command line")
struct CommandLineTests {
    private struct Root: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "waybill", subcommands: WaybillOperatorCommands.all)
    }

    @Test(arguments: [
        ["tenant", "create", "Not-A-Slug"], ["device", "invite"],
        ["device", "invite", "--tenant", "acme", "--count", "0"],
        ["device", "revoke", "not-a-uuid"], ["listeners", "set", "257"],
        ["listeners", "set", "--", "-1"], ["receipt", "verify", "file"], ["queue", "explode"],
        ["dead-letters", "retry"], ["dead-letters", "discard"], ["dead-letters", "show"],
        ["dead-letters", "show", "1"], ["dead-letters", "list", "--code", "nonsense"],
        ["dead-letters", "list", "--before", "yesterday"],
        ["dead-letters", "list", "--limit", "0"],
        ["dead-letters", "retry", "--all", "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0"],
        ["dead-letters", "discard", "--all", "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0"],
        ["dead-letters", "retry", "--code", "cannot_open"],
        ["dead-letters", "retry", "--tenant", "acme", "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0"],
    ])
    func wrongUsageExitsWith64(arguments: [String]) throws {
        let error = #expect(throws: (any Error).self) { try Root.parseAsRoot(arguments) }
        #expect(Root.exitCode(for: try #require(error)).rawValue == 64)
    }

    @Test(arguments: [
        ["tenant", "create", "acme", "--output", "json"], ["tenant", "list"],
        ["device", "invite", "--tenant", "acme", "--count", "3"],
        ["device", "list", "--tenant", "acme", "--data-dir", "/d"],
        ["device", "revoke", "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0"],
        ["listeners", "get"], ["listeners", "set", "256"],
        ["queue", "status", "--admin-url", "http://127.0.0.1:8081"],
        ["dead-letters", "list", "--state", "all", "--output", "json"],
        [
            "dead-letters", "list", "--tenant", "acme", "--device",
            "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0", "--code", "cannot_open", "--before",
            "2026-11-21T03:00:00+01:00",
        ],
        ["dead-letters", "show", "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0"],
        [
            "dead-letters", "retry", "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0",
            "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f1",
        ],
        ["dead-letters", "discard", "--all", "--yes"],
        ["dead-letters", "retry", "--all", "--tenant", "acme"],
        ["receipt", "verify", "f", "--keys", "k"], ["demo", "--once", "--devices-at-once", "8"],
    ])
    func theContractsCommandsAreUnderstood(arguments: [String]) throws {
        _ = try Root.parseAsRoot(arguments)
    }

    @Test func aRefusedTokenIs77AndADeadServer69() {
        let denied = CommandFailure(
            .problem(Problem(.unauthorized, "no"), status: 401))
        #expect(denied.kind.rawValue == 77)
        #expect(CommandFailure(.unreachable("refused")).kind.rawValue == 69)
        #expect(CommandFailure(.malformed("x")).kind.rawValue == 1)
        #expect(
            CommandFailure(.problem(Problem(.alreadyExists, "x"), status: 409)).kind.rawValue == 1)
    }

    @Test func aDirectoryWithoutAServerIsUnreachable() {
        let failure = #expect(throws: CommandFailure.self) {
            try ServerAddress.read(dataDirectory: "/nowhere/at/all")
        }
        #expect(failure?.kind == .unreachable)
    }
}
