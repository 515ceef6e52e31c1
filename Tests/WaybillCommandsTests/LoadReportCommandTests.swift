import ArgumentParser
import Foundation
import Testing
import WaybillLoad
import WaybillModel

@testable import WaybillCommands

/// `waybill load report` and `waybill load compare`, on files.
@Suite struct LoadReportCommandTests {
    private let folder = FileManager.default.temporaryDirectory.appending(
        path: "waybill-load-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    private func text(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: folder.appending(path: name)), as: UTF8.self)
    }

    /// Writes a report whose server acknowledged about that many bundles a second.
    private func write(_ name: String, rate: Int) throws {
        var report = LoadReport(
            startedAt: Timestamp(microseconds: 1_795_269_600_000_000), seconds: 60,
            plan: LoadPlan(),
            machine: LoadReport.Machine(cores: 2, memoryBytes: 1, processor: "p", system: "s"),
            totals: LoadReport.Totals(), latencies: [], series: [], marks: [],
            generator: LoadReport.Generator(), audit: AuditReport(), objectives: [])
        for second in 1...60 {
            var sample = LoadReport.Sample(second: Double(second))
            sample.acknowledged = rate + second * 37 % 11
            report.series.append(sample)
        }
        try Data(try report.json()).write(to: folder.appending(path: name))
    }

    private func run(_ command: any AsyncParsableCommand.Type, _ arguments: [String]) async throws {
        var parsed = try #require(
            try command.parseAsRoot(arguments) as? any AsyncParsableCommand)
        try await parsed.run()
    }

    @Test func makesPageAndTableAgain() async throws {
        try write("r.json", rate: 500)
        try await run(
            LoadReportCommand.self,
            [path("r.json"), "--html", path("r.html"), "--csv", path("r.csv")])
        #expect(try text("r.html").hasPrefix("<!DOCTYPE html>"))
        #expect(try text("r.csv").split(separator: "\r\n").count == 61)
    }

    @Test func comparingEndsWith2WhenBIsWorse() async throws {
        try write("a.json", rate: 500)
        try write("b.json", rate: 400)
        try await run(LoadCompareCommand.self, [path("b.json"), path("a.json")])
        try await run(
            LoadCompareCommand.self,
            [path("a.json"), path("b.json"), "--tolerance", "30", "--output", "json"])
        await #expect(throws: ExitCode(2)) {
            try await run(
                LoadCompareCommand.self,
                [path("a.json"), path("b.json"), "--html", path("c.html")])
        }
        #expect(try text("c.html").contains("B is worse than A: acknowledged bundles."))
    }

    @Test func whatIsNoReportEndsWith1() async throws {
        try Data("{\"version\":9}".utf8).write(to: folder.appending(path: "new.json"))
        for file in ["new.json", "missing.json"] {
            await #expect(throws: ExitCode(1)) {
                try await run(LoadReportCommand.self, [path(file), "--csv", path("r.csv")])
            }
        }
        #expect(!FileManager.default.fileExists(atPath: path("r.csv")))
    }

    @Test(arguments: [
        ["r.json"], ["r.json", "--html", "-", "--csv", "-"], [], ["r.json", "--html"],
    ])
    func reportNeedsToKnowWhereTo(arguments: [String]) {
        #expect(throws: (any Error).self) { try LoadReportCommand.parse(arguments) }
    }

    @Test(arguments: [["a"], ["a", "b", "c"], ["a", "b", "--tolerance", "100"]])
    func compareNeedsTwoRuns(arguments: [String]) {
        #expect(throws: (any Error).self) { try LoadCompareCommand.parse(arguments) }
    }

    @Test func theTableNamesFiguresAndWhatDiffers() throws {
        try write("a.json", rate: 500)
        let a = try ReportFile.read(path("a.json"))
        var b = a
        b.plan.connections = 64
        let text = Comparison(
            a: ("a", a), b: ("b\u{1b}[2J", b), settings: .init(resamples: 20)
        ).text
        let lines = text.split(separator: "\n")
        #expect(lines.contains { $0.contains("plan.connections") && $0.contains("64") })
        #expect(lines.contains { $0.hasPrefix("acknowledged bundles") })
        #expect(lines.contains { $0.contains("beware: A was not audited") })
        #expect(lines.contains { $0.contains("No difference between A and B was shown.") })
        #expect(!text.contains("\u{1b}"))
    }
}
