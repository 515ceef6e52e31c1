import Foundation
import Testing

@testable import WaybillLoad

#if canImport(FoundationXML)
    import FoundationXML
#endif

/// The page: one file, well-formed, nothing from outside, and whatever is in a text stays text.
@Suite struct ReportPageTests {
    private static let evil = "<script>alert(\"x\")</script>&amp;'\u{0}\u{7}\u{85}]]>"
    /// What of it may be shown: no control characters.
    private static let shown = "<script>alert(\"x\")</script>&amp;'\u{fffd}\u{fffd}\u{fffd}]]>"

    private func hostile() -> LoadReport {
        let evil = Self.evil
        var report = SampleReport(seconds: 40, latencyCount: 200).make()
        report.plan.tenant = evil
        report.plan.objectives = [evil]
        report.machine.processor = evil
        report.machine.system = evil
        report.totals.retries = [evil: 3]
        report.latencies[0].name = evil
        report.marks = [LoadReport.Mark(second: 3, endSecond: 5, text: evil)]
        report.generator.saturation = [evil]
        report.audit.add(
            Finding(kind: .lost, transaction: evil, bundle: evil, device: evil, detail: evil))
        report.objectives = [ObjectiveVerdict(objective: evil, measured: 3, isMet: false)]
        return report
    }

    private func expectSelfContained(_ html: String) throws {
        let page = try PageReader(html)
        let attributes = Set(page.attributes.map { $0.name })
        for name in ["src", "href", "xlink:href", "action", "srcset", "data", "background"] {
            #expect(!attributes.contains(name))
        }
        #expect(attributes.allSatisfy { !$0.hasPrefix("on") })
        for name in ["script", "link", "img", "iframe", "object", "image", "use", "base"] {
            #expect(!page.elements.contains(name))
        }
        for text in page.attributes.map({ $0.value }) + [page.style] {
            #expect(!text.contains("url(") && !text.contains("@import"))
            #expect(!text.contains("//") || text == "http://www.w3.org/1999/xhtml")
        }
        #expect(page.style.contains("prefers-color-scheme:dark"))
        #expect(page.style.contains("@media print"))
        for word in ["nan", "inf"] {
            let drawings = page.attributes.filter { ["d", "x", "y", "width"].contains($0.name) }
            #expect(drawings.allSatisfy { !$0.value.contains(word) })
        }
    }

    @Test func needsNothingFromOutside() throws {
        try expectSelfContained(SampleReport(latencyCount: 2000).make().html)
        try expectSelfContained(hostile().html)
        try expectSelfContained(SampleReport.empty.html)
    }

    @Test func whateverIsInATextStaysText() throws {
        let page = try PageReader(hostile().html)
        #expect(!page.elements.contains("script"))
        let shown = page.texts.count { $0.contains(Self.shown) }
        // Plan, machine, counts, latencies, marks, saturation, findings and objectives.
        #expect(shown >= 14, "shown \(shown) times")
        #expect(page.texts.contains { $0.contains("3 lost") } == false)
    }

    @Test func beginsWithTheVerdict() throws {
        var report = SampleReport(seconds: 30, latencyCount: 100).make()
        let clean = try PageReader(report.html)
        #expect(clean.texts.contains("✓ Nothing lost, nothing doubled, nothing altered."))
        #expect(clean.texts.contains("✗ 1 of 2 objectives is not met."))
        report.audit.add(Finding(kind: .lost, transaction: "abc-1", detail: "no row"))
        report.audit.add(Finding(kind: .lost, transaction: "abc-2", detail: "no row"))
        report.audit.add(Finding(kind: .outOfOrder, device: "dev", detail: "receipt 3 before 2"))
        let found = try PageReader(report.html)
        #expect(found.texts.contains("✗ 2 lost, 1 out of order."))
        for id in ["abc-1", "abc-2", "dev"] { #expect(found.texts.contains(id)) }
        report.audit.rows = nil
        report.audit.counts = [:]
        report.audit.findings = []
        let receiptsOnly = try PageReader(report.html)
        #expect(receiptsOnly.texts.contains { $0.contains("the rows were not looked at") })
        #expect(!receiptsOnly.texts.contains { $0.contains("✓ Nothing lost") })
    }

    @Test func anAbortedRunIsShownAsWhatItIs() throws {
        let page = try PageReader(SampleReport.empty.html)
        #expect(
            page.texts.contains("! Not audited: whether anything was lost is not known."))
        #expect(page.texts.contains("! The run ended before anything was measured."))
        #expect(!page.elements.contains("figure"))
        #expect(page.texts.contains { $0.hasPrefix("Not measured: Bundles per second") })
        // Cut off in the middle: seconds without anything in them, histograms without buckets.
        var report = SampleReport.empty
        report.series = [LoadReport.Sample(second: 0.4)]
        report.latencies = [SampleReport.latency("ack", []), SampleReport.latency("settle", [3])]
        report.marks = [LoadReport.Mark(second: 70, endSecond: 60, text: "later than the end")]
        try expectSelfContained(report.html)
    }

    @Test func warnsOfASaturatedGenerator() throws {
        var report = SampleReport(seconds: 30, latencyCount: 100).make()
        let warning = "! The generator was saturated: figures may be its own, not the server's."
        #expect(try !PageReader(report.html).texts.contains(warning))
        report.generator.saturation = ["312 uploads waited for a bundle to be sealed"]
        let page = try PageReader(report.html)
        #expect(page.texts.contains(warning))
        #expect(page.texts.contains("312 uploads waited for a bundle to be sealed"))
    }

    @Test func everyChartIsDrawnForPagesAndForPhones() throws {
        let page = try PageReader(SampleReport(latencyCount: 2000).make().html)
        let kinds = page.attributes.filter { $0.name == "class" }.map { $0.value }
        #expect(kinds.count { $0 == "wide" } == 12)
        #expect(kinds.count { $0 == "narrow" } == 12)
        #expect(page.texts.contains("1 kill-server"))
        #expect(page.texts.contains { $0.hasPrefix("2 at 2:00 to 2:12: kill-postgres") })
    }

    @Test func fourHoursStaySmall() throws {
        let report = SampleReport(seconds: 14_400, latencyCount: 2000).make()
        #expect(report.html.utf8.count < 2_000_000)
    }

    @Test func figuresThatNoRunWouldGiveAreDrawnAnyway() throws {
        var report = SampleReport(seconds: 30, latencyCount: 100).make()
        report.series[3].acknowledged = .max
        report.series[4].ackP50 = 1e300
        report.series[5].ackP50 = -1
        report.series[6].settleP99 = 1e-300
        report.series[7].backlog = -5
        report.latencies[0].buckets = [[], [1], [-1, 5], [2, 1e300], [3, -4], [4, 2], [0, 1]]
        report.totals.bytesSent = .max
        try expectSelfContained(report.html)
    }
}

/// What a parser of XML sees in a page.
final class PageReader: NSObject, XMLParserDelegate {
    private(set) var elements: Set<String> = []
    private(set) var attributes: [(name: String, value: String)] = []
    /// Of each element that holds text, in order.
    private(set) var texts: [String] = []
    private(set) var style = ""
    private var open: [(name: String, text: String)] = []

    struct Malformed: Error {
        var line: Int
        var reason: String
    }

    init(_ html: String) throws {
        super.init()
        let parser = XMLParser(data: Data(html.utf8))
        parser.delegate = self
        guard parser.parse() else {
            throw Malformed(line: parser.lineNumber, reason: "\(parser.parserError as Any)")
        }
        #expect(html.hasPrefix("<!DOCTYPE html>"))
    }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?,
        qualifiedName: String?, attributes: [String: String]
    ) {
        elements.insert(name)
        self.attributes += attributes.map { ($0.key, $0.value) }
        open.append((name, ""))
    }

    func parser(_ parser: XMLParser, foundCharacters text: String) {
        guard !open.isEmpty else { return }
        open[open.count - 1].text += text
    }

    func parser(
        _ parser: XMLParser, didEndElement name: String, namespaceURI: String?,
        qualifiedName: String?
    ) {
        guard let last = open.popLast() else { return }
        if name == "style" {
            style += last.text
        } else if !last.text.isEmpty {
            texts.append(last.text)
        }
    }
}
