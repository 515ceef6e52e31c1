internal import ArgumentParser

struct DeviceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "device", abstract: "Installations that may upload.",
        subcommands: [
            DeviceInviteCommand.self, DeviceListCommand.self, DeviceRevokeCommand.self,
            DeviceRotateCommand.self,
        ])
}
