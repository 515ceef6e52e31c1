import Testing

@testable import WaybillModel

@Suite struct TraceContextTests {
    private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let span = "00f067aa0ba902b7"
    private static let header = "00-\(trace)-\(span)-01"

    @Test func joinsTheTraceThatIsNamed() {
        let context = TraceContext(headers: [Self.header])
        #expect(context.traceID == Self.trace)
        #expect(context.parentID == Self.span)
        #expect(context.spanID != Self.span)
        #expect(context.spanID.utf8.count == 16)
    }

    @Test(arguments: [
        "", "00", "\(header) ", " \(header)", "\(header)-", "\(header)-00", header.uppercased(),
        "ff-\(trace)-\(span)-01", "0g-\(trace)-\(span)-01", "00-\(trace)-\(span)-0x",
        "00-\(String(repeating: "0", count: 32))-\(span)-01",
        "00-\(trace)-\(String(repeating: "0", count: 16))-01",
        "00_\(trace)-\(span)-01", "00-\(trace)_\(span)-01", "00-\(trace)-\(span)_01",
        "00-\(trace)0-\(span)-1", "01-\(trace)-\(span)-01x", "00-é\(trace.dropFirst(2))-\(span)-01",
    ])
    func ignoresWhatIsNotValidAndBeginsATrace(header: String) {
        let context = TraceContext(headers: [header])
        #expect(context.traceID != Self.trace)
        #expect(context.parentID == nil)
        #expect(context.traceID.utf8.count == 32)
        #expect(TraceContext.parse("00-\(context.traceID)-\(context.spanID)-00") != nil)
    }

    @Test(arguments: ["cc-\(trace)-\(span)-01", "01-\(trace)-\(span)-01-what-comes-later"])
    func takesLaterVersionsByWhatTheyShare(header: String) {
        #expect(TraceContext(headers: [header]).traceID == Self.trace)
    }

    @Test func twoHeadersAreNone() {
        #expect(TraceContext(headers: [Self.header, Self.header]).parentID == nil)
        #expect(TraceContext(headers: []).parentID == nil)
    }
}
