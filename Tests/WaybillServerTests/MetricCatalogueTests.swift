import Foundation
import Testing

@testable import WaybillServer

@Suite struct MetricCatalogueTests {
    @Test func namesExactlyTheMetricsOfTheCode() throws {
        let sources = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Sources")
        let files = try #require(
            FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil))
        var found: Set<String> = []
        for case let file as URL in files where file.pathExtension == "swift" {
            let text = try String(contentsOf: file, encoding: .utf8)
            for match in text.matches(of: /label: "(waybill_[a-z_]+)"/) {
                found.insert(String(match.1))
            }
        }
        #expect(found == Set(MetricCatalogue.help.keys))
        for name in found {
            #expect(
                [
                    "_total", "_seconds", "_bytes", "_letters", "_connections", "_bundles",
                    "_uploads",
                ].contains { name.hasSuffix($0) },
                "\(name) does not end with its unit")
        }
    }
}
