import DiskSimulation
import Foundation
import SegmentedLog
import Testing

/// Every call that a mutant can leave out has its mutant, and no shipped build can leave one out.
@Suite struct CallSiteTests {
    @Test func everyCallSiteHasItsMutantAndEveryMutantItsCallSite() throws {
        let calls = try MutantCallSites.find(in: MutantCallSites.repository)
        for call in calls where call.mutant.hasSuffix("?") {
            Issue.record(
                """
                \(call.function) in \(call.file) syncs or checks without a name: give it a case of \
                SyncSite, DirectorySyncSite, TagCheckSite, FencingSite or QueueDirectorySyncSite, so \
                that a mutant can leave it out
                """)
        }
        let found = Dictionary(grouping: calls.filter { !$0.mutant.hasSuffix("?") }, by: \.mutant)
        for (mutant, places) in found where places.count > 1 {
            Issue.record(
                "\(mutant) stands for \(places.count) calls, and each wants its own: \(places)")
        }
        let names = Mutant.all.map(\.name)
        for name in names where found[name] == nil {
            Issue.record("the mutant \(name) has no call in the sources")
        }
        for name in found.keys.sorted() where !names.contains(name) {
            Issue.record("the call site \(name) is not in Mutant.all")
        }
        #expect(Set(names).count == names.count)
        #expect(Set(Mutant.all.map(\.site.code)).count == names.count)
    }

    /// What `deploy/simulate.sh --mutants` printed once stands in Mutants.md, row by row.
    @Test func theTableOfMutantsHasEveryCallSiteAndNothingElse() throws {
        let table = MutantCallSites.repository
            .appending(path: "Sources/WaybillQueue/WaybillQueue.docc/Mutants.md")
        let rows = try String(contentsOf: table, encoding: .utf8).split(separator: "\n")
            .filter { $0.hasPrefix("| `") }
            .map { row in
                row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            }
        let places = Dictionary(
            grouping: try MutantCallSites.find(in: MutantCallSites.repository), by: \.mutant)
        let expected = Mutant.all.map { mutant in
            (places[mutant.name] ?? []).map { "`\($0.file)` `\($0.function)`" }
                .joined(separator: ", ") + " " + mutant.name + ": " + mutant.change
        }
        for row in expected
        where !rows.contains(where: { $0.prefix(2).joined(separator: " ") == row }) {
            Issue.record("Mutants.md has no row for \(row)")
        }
        for row in rows {
            let what = row.prefix(2).joined(separator: " ")
            #expect(expected.contains(what), "no call site is as this row of Mutants.md says")
            #expect(row.count == 4 && !row[2].contains("**"), "\(what) is not killed")
            let seeds = row.last.flatMap { Int($0) } ?? 0
            #expect(seeds > 0 && seeds <= 2000, "\(what) is not killed within 2,000 seeds")
        }
        #expect(rows.count == expected.count)
    }

    /// No other build has the switch; the build of the tests is made as the product's is.
    @Test func noBuildButTheSimulationsCanLeaveACallOut() throws {
        #expect(!Mutation.isPossible)
        for mutant in Mutant.all { #expect(!mutant.begin()) }
        let deploy = MutantCallSites.repository.appending(path: "deploy")
        let files = try #require(FileManager.default.enumerator(atPath: deploy.path))
        for case let name as String in files where !name.contains("__pycache__") {
            let url = deploy.appending(path: name)
            guard let text = try? String(contentsOf: url, encoding: .utf8) else { continue }
            #expect(
                !text.contains("WAYBILL_MUTANTS") || name == "simulate.sh",
                "\(name) builds with mutants")
        }
    }

    @Test func everySyncReachesTheDisk() throws {
        let disk = SimulatedDisk()
        let file = try disk.open("/a", .create)
        for (index, site) in SyncSite.allCases.enumerated() {
            try file.synchronize(at: site)
            #expect(disk.counts.syncs == index + 1)
        }
        for (index, site) in DirectorySyncSite.allCases.enumerated() {
            try disk.syncDirectory("/", at: site)
            #expect(disk.counts.directorySyncs == index + 1)
        }
    }

    /// The scanner of the sources itself: what it does not find would have no mutant.
    @Test func findsCallsThatHaveNoName() throws {
        let root = FileManager.default.temporaryDirectory
            .appending(path: "call-sites-\(UUID().uuidString)")
        defer {
            // What stays behind lies in the system's temporary directory.
            try? FileManager.default.removeItem(at: root)
        }
        for module in ["SegmentedLog", "WaybillQueue"] {
            try FileManager.default.createDirectory(
                at: root.appending(path: "Sources/" + module), withIntermediateDirectories: true)
        }
        let text = """
            func first() throws {
                try file.synchronize()
                try fileSystem.syncDirectory(parent(of: path))
                // try file.synchronize()
                try file.synchronize(at: .batch)
                try write(content, syncingAt: .tail)
            }
            func second() {
                let payload = cipher.open(
                    bytes[...], header)
                let other = try AES.GCM.open(box, using: key)
            }
            """
        try Data(text.utf8).write(to: root.appending(path: "Sources/SegmentedLog/New.swift"))
        let fencing = "func third() { throw .staleLease }"
        try Data(fencing.utf8).write(to: root.appending(path: "Sources/WaybillQueue/New.swift"))
        let calls = try MutantCallSites.find(in: root)
        #expect(
            calls.map { $0.mutant + " in " + $0.function } == [
                "sync ? in first", "directory ? in first", "sync batch in first",
                "sync tail in first", "tag ? in second", "tag ? in second", "fencing ? in third",
            ])
    }
}
