internal import Logging
internal import Synchronization
internal import Testing
internal import WaybillObservability

@Suite("Log lines")
struct LogLineTests {
    @Test func writesOneJSONObjectWithDottedNames() {
        let sink = CollectingSink()
        var logger = Logger(label: "waybill.test") { label in
            LineLogHandler(label: label, format: .json, sink: sink, clock: { "T" })
        }
        logger[metadataKey: "device.id"] = "d1"
        logger.info("received", metadata: ["bundle": ["id": "b1", "bytes": "12"]])
        #expect(
            sink.lines == [
                #"{"ts":"T","level":"info","label":"waybill.test","message":"received","#
                    + #""bundle.bytes":"12","bundle.id":"b1","device.id":"d1"}"# + "\n"
            ])
    }

    @Test func escapesWhatWouldStartALineOrMoveTheCursor() {
        for format in LogFormat.allCases {
            let line = text(format, message: "a\nb\u{1b}[2J\"\u{9b}\u{202e}")
            #expect(line.dropLast().unicodeScalars.allSatisfy { $0.value >= 0x20 })
            #expect(!line.unicodeScalars.contains("\u{9b}"))
            #expect(!line.unicodeScalars.contains("\u{202e}"))
        }
    }

    @Test(arguments: LogFormat.allCases, ["x", "\u{1b}", "ü", "\""])
    func neverExceedsWhatAPipeTakesAtOnce(format: LogFormat, filler: String) {
        var line = LogLine(
            format: format, time: "T", level: .error, label: String(repeating: filler, count: 9000),
            message: String(repeating: filler, count: 9000))
        var fields: Logger.Metadata = [:]
        for number in 0..<200 {
            fields["field\(number)"] = "\(String(repeating: filler, count: 900))"
        }
        line.add(fields)
        let bytes = line.finish()
        #expect(bytes.count <= LogLine.bytesMax)
        #expect(bytes.last == UInt8(ascii: "\n"))
        if format == .json {
            #expect(String(decoding: bytes, as: UTF8.self).hasSuffix("\"shortened\":true}\n"))
        }
    }

    @Test func aFieldCannotReplaceTheLevel() {
        var line = LogLine(format: .json, time: "T", level: .info, label: "l", message: "m")
        line.add(["level": "critical"])
        #expect(
            String(decoding: line.finish(), as: UTF8.self)
                == #"{"ts":"T","level":"info","label":"l","message":"m","field.level":"critical"}"#
                + "\n")
    }

    private func text(_ format: LogFormat, message: String) -> String {
        let line = LogLine(format: format, time: "T", level: .info, label: "l", message: message)
        return String(decoding: line.finish(), as: UTF8.self)
    }
}

private final class CollectingSink: LogSink {
    private let written = Mutex<[String]>([])

    var lines: [String] { written.withLock { $0 } }

    func write(_ line: [UInt8], isUrgent: Bool) {
        written.withLock { $0.append(String(decoding: line, as: UTF8.self)) }
    }
}
