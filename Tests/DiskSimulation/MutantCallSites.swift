package import Foundation

/// Finds in the sources what a mutant can leave out; what it does not know has the name `?`.
package struct MutantCallSites {
    package struct Call: Sendable, Hashable {
        /// As ``Mutant/name``.
        package let mutant: String
        /// Under `Sources`.
        package let file: String
        package let function: String
    }

    /// A call that stands for a check, and where it may stand without a name.
    private struct Pattern {
        let kind: String
        let call: String
        /// Functions that only hand on, by file.
        var passages: [String: Set<String>] = [:]
    }

    private static let modules: [(folder: String, patterns: [Pattern])] = [
        ("SegmentedLog", common("sync", "directory") + [handedOn, zeros] + tags),
        ("WaybillQueue", common("queue-sync", "queue-directory") + tags + fencing),
    ]

    /// A site that a caller names for a call elsewhere.
    private static let handedOn = Pattern(kind: "sync", call: "syncingAt: .")

    private static let zeros = Pattern(kind: "zeros", call: "fillWithZeros(")

    private static let tags = [
        Pattern(kind: "tag", call: "ipher.open("),
        Pattern(kind: "tag", call: "unwrapKey("),
        Pattern(kind: "tag", call: ".unwrap(", passages: ["SegmentHeader.swift": ["unwrapKey"]]),
        Pattern(
            kind: "tag", call: "AES.GCM.open(",
            passages: ["Frame.swift": ["open"], "MasterKey.swift": ["unwrap"]]),
        Pattern(kind: "tag", call: "ChaChaPoly.open("),
    ]

    private static let fencing = [
        Pattern(kind: "fencing", call: "try check("),
        Pattern(
            kind: "fencing", call: "throw .staleLease",
            passages: ["QueueState+Leases.swift": ["check"]]),
    ]

    private static func common(_ sync: String, _ directory: String) -> [Pattern] {
        [
            Pattern(
                kind: sync, call: "synchronize(",
                passages: [
                    "SyncSite.swift": ["synchronize"], "IndexFile.swift": ["write"],
                    // Not needed: only earlier than the one that is.
                    "SegmentPreparation.swift": ["step"],
                    "FileSystem.swift": ["synchronize"],
                ]),
            Pattern(
                kind: directory, call: "syncDirectory(",
                passages: [
                    "DirectorySyncSite.swift": ["syncDirectory"],
                    "QueueDirectorySyncSite.swift": ["syncDirectory"],
                ]),
        ]
    }

    /// All calls, by file and place.
    ///
    /// - Parameter root: the repository's folder.
    package static func find(in root: URL) throws -> [Call] {
        var calls: [Call] = []
        for (folder, patterns) in modules {
            let directory = root.appending(path: "Sources/" + folder)
            let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
            for name in names.sorted() where name.hasSuffix(".swift") {
                let text = try String(contentsOf: directory.appending(path: name), encoding: .utf8)
                calls += find(in: text, name, patterns).map {
                    Call(mutant: $0.mutant, file: folder + "/" + name, function: $0.function)
                }
            }
        }
        return calls
    }

    /// This repository, as it was compiled.
    package static let repository = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    private static func find(
        in text: String, _ file: String, _ patterns: [Pattern]
    ) -> [(mutant: String, function: String)] {
        var found: [(mutant: String, function: String)] = []
        var (function, start) = ("", 0)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let code = line.trimmingPrefix { $0 == " " }
            if code.hasPrefix("//") { continue }
            let declared = declaredFunction(in: code)
            if let declared { (function, start) = (declared, index) }
            for pattern in patterns {
                var rest = line[...]
                while let range = rest.firstRange(of: pattern.call) {
                    defer { rest = rest[range.upperBound...] }
                    let isName = rest[..<range.lowerBound].last.map { $0.isLetter || $0 == "_" }
                    // A longer name, the declaration itself, or a function that only hands on.
                    if pattern.call.first?.isLowercase == true, pattern.call != "ipher.open(",
                        isName == true
                    {
                        continue
                    }
                    if rest[..<range.lowerBound].hasSuffix("func ") { continue }
                    if pattern.passages[file]?.contains(function) == true { continue }
                    // Arguments may go on for some lines; a file system calls its own methods.
                    let arguments = lines[index...].prefix(6).joined(separator: "\n")
                        .dropFirst(line.distance(from: line.startIndex, to: range.upperBound))
                    let before = lines[start..<index].joined(separator: "\n")
                    let name =
                        pattern.call.hasSuffix(".")
                        ? caseName(arguments)
                        : site(in: arguments) ?? switchedSite(in: before[...]) ?? "?"
                    found.append((pattern.kind + " " + name, function))
                }
            }
        }
        return found
    }

    /// The function that the line declares.
    private static func declaredFunction(in code: Substring) -> String? {
        guard let range = code.firstRange(of: "func ") else {
            return code.contains("init(") && !code.contains(".init(") && !code.contains("= ")
                && !code.contains("self.init(") ? "init" : nil
        }
        return String(code[range.upperBound...].prefix { $0.isLetter || $0.isNumber || $0 == "_" })
    }

    /// The case after `at:` among arguments up to the parenthesis that closes them.
    private static func site(in text: Substring) -> String? {
        var depth = 1
        var end = text.startIndex
        for index in text.indices {
            if text[index] == "(" { depth += 1 }
            if text[index] == ")" { depth -= 1 }
            end = index
            if depth == 0 { break }
        }
        let arguments = text[..<end]
        guard let range = arguments.firstRange(of: "at: .") else { return nil }
        return caseName(arguments[range.upperBound...])
    }

    private static func caseName(_ text: Substring) -> String {
        String(text.prefix { $0.isLetter || $0.isNumber })
    }

    /// The case that a function asks for by itself, in a build with mutants.
    private static func switchedSite(in text: Substring) -> String? {
        guard let range = text.firstRange(of: "disables(TagCheckSite.") else { return nil }
        return caseName(text[range.upperBound...])
    }
}
