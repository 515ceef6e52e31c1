package import Logging

/// Back end of swift-log: one bounded line an event.
///
/// `LoggingSystem.bootstrap { LineLogHandler(label: $0, format: .json) }`
package struct LineLogHandler: LogHandler {
    package let label: String
    package var metadata: Logger.Metadata
    package var metadataProvider: Logger.MetadataProvider?
    package var logLevel: Logger.Level
    private let format: LogFormat
    private let sink: any LogSink
    private let clock: @Sendable () -> String

    package init(
        label: String, format: LogFormat, level: Logger.Level = .info,
        sink: any LogSink = DescriptorSink.standardError,
        clock: @escaping @Sendable () -> String = { WallClock.now() }
    ) {
        self.label = label
        self.format = format
        self.logLevel = level
        self.sink = sink
        self.clock = clock
        metadata = [:]
    }

    package subscript(metadataKey name: String) -> Logger.MetadataValue? {
        get { metadata[name] }
        set { metadata[name] = newValue }
    }

    package func log(event: LogEvent) {
        var line = LogLine(
            format: format, time: clock(), level: event.level, label: label,
            message: event.message.description)
        var fields = metadata
        if let provided = metadataProvider?.get() {
            fields.merge(provided) { _, new in new }
        }
        if let given = event.metadata {
            fields.merge(given) { _, new in new }
        }
        if let error = event.error { fields["error"] = "\(error)" }
        line.add(fields)
        sink.write(line.finish(), isUrgent: event.level >= .warning)
    }
}
