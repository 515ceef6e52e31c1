import Foundation
import Testing

@testable import WaybillLoad

/// The report as JSON and as CSV.
@Suite struct LoadReportFormTests {
    @Test func jsonGivesTheSameReportAgain() throws {
        var report = SampleReport(seconds: 30, latencyCount: 500).make()
        report.audit.add(
            Finding(kind: .lost, transaction: "t", bundle: nil, device: "d", detail: "no row"))
        let json = try report.json()
        let again = try LoadReport(json: json)
        #expect(try again.json() == json)
        #expect(again.series == report.series)
        #expect(again.latencies == report.latencies)
        #expect(again.plan == report.plan)
        #expect(again.audit == report.audit)
        #expect(again.objectives == report.objectives)
        #expect(again.startedAt == report.startedAt)
    }

    @Test func jsonHasSortedKeys() throws {
        let text = String(decoding: try SampleReport.empty.json(), as: UTF8.self)
        let top = text.split(separator: "\n").filter { $0.hasPrefix("  \"") }
        #expect(top.count == 12)
        #expect(top == top.sorted())
        #expect(text.hasSuffix("}\n"))
    }

    @Test func anotherVersionIsToldAsSuch() throws {
        var report = SampleReport.empty
        report.version = 7
        let json = try report.json()
        #expect(throws: ReportFault.version(7)) { try LoadReport(json: json) }
        #expect(
            ReportFault.version(7).description == "has version 7; this program reads version 1")
        // Whatever else it holds: of a later version nothing else is known.
        #expect(throws: ReportFault.version(2)) {
            try LoadReport(json: Array("{\"version\":2}".utf8))
        }
    }

    @Test(arguments: [
        ("", "not JSON"), ("[1]", "the top is of another type"), ("{}", "it has no version"),
        ("{\"version\":\"1\"}", "version is of another type"),
        ("{\"version\":1}", "seconds is missing"),
    ])
    func whatIsNoReportIsTold(text: String, reason: String) {
        #expect(throws: ReportFault.notAReport(reason)) { try LoadReport(json: Array(text.utf8)) }
    }

    @Test func namesThePlaceOfAWrongValue() throws {
        let json = try SampleReport(seconds: 3, latencyCount: 5).make().json()
        let text = String(decoding: json, as: UTF8.self).replacing(
            "\"acknowledged\" : ", with: "\"acknowledged\" : \"x\", \"y\" : ", maxReplacements: 1)
        #expect(throws: ReportFault.notAReport("series[0].acknowledged is of another type")) {
            try LoadReport(json: Array(text.utf8))
        }
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity])
    func refusesFiguresThatAreNotFinite(value: Double) {
        var report = SampleReport(seconds: 3, latencyCount: 5).make()
        report.series[1].ackP50 = value
        #expect(throws: ReportFault.notFinite("series[1].ack_p50")) { try report.json() }
    }

    @Test func csvHasALineForEachSecondAndEmptyCellsForWhatWasNotMeasured() throws {
        var report = SampleReport.empty
        var sample = LoadReport.Sample(second: -1)
        sample.acknowledged = 5
        sample.ackP50 = 1.25
        sample.listeners = 4
        report.series = [sample, LoadReport.Sample(second: 1.5)]
        let lines = report.csv.components(separatedBy: "\r\n")
        #expect(lines.count == 4)
        #expect(lines.last == "")
        #expect(
            lines[0]
                == "second,acknowledged,settled,transactions_settled,errors,ack_p50_ms,ack_p99_ms,"
                + "settle_p50_ms,settle_p99_ms,backlog,listeners,server_bytes,server_cpu,"
                + "generator_cpu,sealed_ahead")
        #expect(lines[1] == "-1.0,5,0,0,0,1.25,,,,,4,,,,")
        #expect(lines[2] == "1.5,0,0,0,0,,,,,,,,,,")
        #expect(SampleReport.empty.csv == lines[0] + "\r\n")
    }

    @Test func everyFigureOfASampleHasAColumn() throws {
        var sample = SampleReport(seconds: 3, latencyCount: 5).make().series[5]
        sample.errors = 3
        let encoded = try JSONSerialization.jsonObject(with: JSONEncoder().encode(sample))
        let members = try #require(encoded as? [String: Any])
        #expect(members.count == CSVLine.columns.count)
        #expect(CSVLine.columns.allSatisfy { !$0.cell(sample).isEmpty })
    }

    @Test(arguments: [
        ("plain", "plain"), ("a,b", "\"a,b\""), ("say \"hi\"", "\"say \"\"hi\"\"\""),
        ("a\nb", "\"a\nb\""), ("a\rb", "\"a\rb\""), ("\"", "\"\"\"\""), ("", ""), (" ", " "),
        ("a\r\nb", "\"a\r\nb\""),
    ])
    func csvQuotesWhatNeedsIt(cell: String, quoted: String) {
        #expect(CSVLine.of(["1", cell, "2"]) == "1,\(quoted),2\r\n")
    }
}
