package import ArgumentParser

/// What `waybill` offers besides the server's own commands.
package enum WaybillOperatorCommands {
    package static let all: [any ParsableCommand.Type] = [
        DemoCommand.self, TenantCommand.self, DeviceCommand.self, BackupCommand.self,
        ListenersCommand.self, QueueCommand.self, DeadLettersCommand.self, TraceCommand.self,
        AuditCommand.self, ReceiptCommand.self, SealCommand.self, OpenCommand.self,
        LoadCommand.self,
    ]
}
