import Crypto
import Testing
import WaybillModel

@testable import WaybillLoad

/// Each fault is planted into a run that is right but for it, and must be found once and named.
struct ReceiptAuditTests {
    @Test func findsNothingInARunWithoutFaults() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            try run.readAll()
            let report = try await run.auditReceipts()
            #expect(report.isClean, "\(report.findings)")
            #expect(report.bundles == run.bundleCount)
            #expect(report.receipts == run.bundleCount - run.ledger.totals.refused)
            #expect(report.receiptsVerified == report.receipts)
            // The plan has something of everything, else the other tests would prove little.
            let totals = run.ledger.totals
            #expect(totals.refused > 0 && totals.quarantined > 0 && totals.open == 0)
            #expect(totals.outcomes.duplicate > 0 && totals.outcomes.rejected > 0)
            #expect(totals.outcomes.conflict > 0 && totals.outcomes.accepted > 0)
        }
    }

    @Test func acceptsFoldedExceptions() async throws {
        try await AuditFixture.with {
            $0.faults.badLines = 0
            $0.faults.conflicting = 0
            $0.faults.repeated = 0.9
        } _: { run in
            var folded = 0
            run.sendAll()
            for device in run.devices.indices {
                let contents = run.contents(device: device).map { content in
                    var content = content
                    content.exceptions = Self.folded(content.exceptions)
                    folded += content.exceptions.count { if case .run = $0 { true } else { false } }
                    return content
                }
                run.read(try run.sign(contents), device: device)
            }
            #expect(folded > 3)
            let report = try await run.auditReceipts()
            #expect(report.isClean, "\(report.findings)")
        }
    }

    @Test func findsARunOfExceptionsThatIsTooLong() async throws {
        try await AuditFixture.with {
            $0.faults.badLines = 0
            $0.faults.conflicting = 0
            $0.faults.repeated = 0.9
        } _: { run in
            let found = try run.settled { $0.counts.duplicate > 3 && $0.counts.accepted > 0 }
            run.sendAll()
            try run.readAll(change: {
                $0[found.position].exceptions = [
                    .run(from: 0, count: 12, outcome: .duplicate, code: nil)
                ]
            })
            let finding = try await run.auditReceipts().only(.altered)
            #expect(finding.bundle == run.book.bundleID(found.number).description)
            #expect(finding.detail.contains("is told as duplicate"))
        }
    }

    @Test(arguments: [0, 1, 3]) func findsAMissingReceiptAndTellsItsNumber(from end: Int)
        async throws
    {
        try await AuditFixture.with { run in
            run.sendAll()
            var missing: ReceiptContent?
            try run.readAll(damage: { documents in
                let position = documents.count - 1 - end
                missing = run.contents(device: 0)[position]
                documents.remove(at: position)
            })
            let finding = try await run.auditReceipts().only(.lost)
            #expect(finding.bundle == missing?.bundleID.description)
            #expect(finding.device == run.devices[0].description)
            #expect(finding.detail.contains("are missing") == (end > 0))
        }
    }

    @Test func findsEveryBundleOfADeviceWithoutReceipts() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            let expected = run.contents(device: 0).map(\.bundleID.description)
            try run.readAll(damage: { $0 = [] })
            let report = try await run.auditReceipts()
            #expect(report.names(.lost) == expected)
            #expect(report.counts.values.reduce(0, +) == expected.count)
        }
    }

    @Test func leavesBundlesWithoutAnAnswerAloneWhetherOrNotTheyAreSettled() async throws {
        try await AuditFixture.with { run in
            let last = run.bundleCount - 3..<run.bundleCount
            run.send(0..<run.bundleCount, unanswered: Set(last))
            for device in run.devices.indices {
                let documents = try run.sign(run.contents(device: device))
                let isLastKept = device == 1
                run.read(isLastKept ? documents : documents.dropLast(), device: device)
            }
            // The last bundle of a device may have been one that is refused.
            let report = try await run.auditReceipts()
            let names = Set(report.names(.lost))
            let open = Set(last.map { run.book.bundleID($0).description })
            #expect(names.isDisjoint(with: open))
        }
    }

    @Test func findsTwoReceiptsOfOneBundle() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            var twice: ReceiptContent?
            try run.readAll(change: {
                twice = $0[2]
                $0.insert($0[2], at: 4)
            })
            let finding = try await run.auditReceipts().only(.duplicated)
            #expect(finding.bundle == twice?.bundleID.description)
            #expect(finding.detail == "receipts 3 and 5 are of one bundle")
        }
    }

    @Test func takesAReceiptThatSupersedesAsTheOneThatCounts() async throws {
        try await AuditFixture.with { run in
            let found = try run.settled { $0.quarantine == nil }
            run.sendAll()
            try run.readAll(change: { contents in
                var later = contents[found.position]
                later.supersedes = Int64(found.position + 1)
                contents[found.position].state = .quarantined
                contents[found.position].code = .processingFailed
                contents[found.position].counts = nil
                contents[found.position].exceptions = []
                contents.append(later)
            })
            let report = try await run.auditReceipts()
            #expect(report.isClean, "\(report.findings)")
        }
    }

    @Test func findsTwoNeighboursThatChangedPlaces() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            var names: Set<String> = []
            try run.readAll(change: {
                names = [$0[2].bundleID.description, $0[3].bundleID.description]
                $0.swapAt(2, 3)
            })
            let finding = try await run.auditReceipts().only(.outOfOrder)
            let name = try #require(finding.bundle)
            #expect(names.contains(name))
        }
    }

    @Test func namesBothOfTwoReceiptsThatChangedPlacesFarApart() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            var names: Set<String> = []
            try run.readAll(change: {
                names = [$0[1].bundleID.description, $0[6].bundleID.description]
                $0.swapAt(1, 6)
            })
            let report = try await run.auditReceipts()
            #expect(Set(report.names(.outOfOrder)) == names)
            #expect(report.counts.values.reduce(0, +) == 2)
        }
    }

    @Test(arguments: ["signature", "hash", "content", "key_id", "member"])
    func findsAForgedReceipt(_ part: String) async throws {
        try await AuditFixture.with { run in
            let found = try run.settled { $0.quarantine == nil && $0.counts.accepted > 0 }
            run.sendAll()
            try run.readAll(damage: { documents in
                let text = documents[found.position]
                documents[found.position] =
                    switch part {
                    case "signature": Self.flipped(text, after: #""signature":""#)
                    case "hash": Self.flipped(text, after: #""hash":""#)
                    case "content": Self.flipped(text, after: #""bundle_sha256":""#)
                    case "key_id": text.replacing(#""key_id":"k1""#, with: #""key_id":"k2""#)
                    default: text.dropLast() + #","surplus":1}"#
                    }
            })
            let report = try await run.auditReceipts()
            let finding = try report.only(.forged)
            #expect(finding.bundle == run.book.bundleID(found.number).description)
            #expect(report.receiptsVerified == report.receipts - 1)
        }
    }

    @Test func findsAReceiptWithAMemberThatStandsTwice() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            try run.readAll(damage: { $0[2] = $0[2].dropLast() + #","seq":3}"# })
            let report = try await run.auditReceipts()
            #expect(report.count(.forged) == 1)
            // Its bundle has no receipt that anybody could read.
            #expect(report.count(.lost) == 1)
        }
    }

    @Test func findsAChainThatWasBegunAnew() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            let contents = run.contents(device: 0)
            var documents = try run.sign(contents)
            let receipt = try run.signer.sign(contents[4], sequence: 5, previous: .zero)
            documents[4] = receipt.document
            var previous = receipt.hash
            for position in 5..<contents.count {
                let next = try run.signer.sign(
                    contents[position], sequence: Int64(position + 1), previous: previous)
                previous = next.hash
                documents[position] = next.document
            }
            try run.readAll(damage: { $0 = documents })
            let finding = try await run.auditReceipts().only(.forged)
            #expect(finding.bundle == contents[4].bundleID.description)
            #expect(finding.detail == "receipt 5 does not continue the receipt before it")
        }
    }

    @Test func findsANumberThatWasPassedOver() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            var previous = Digest256.zero
            var documents: [String] = []
            for (position, content) in run.contents(device: 0).enumerated() {
                let sequence = Int64(position + (position < 4 ? 1 : 2))
                let receipt = try run.signer.sign(content, sequence: sequence, previous: previous)
                previous = receipt.hash
                documents.append(receipt.document)
            }
            try run.readAll(damage: { $0 = documents })
            let finding = try await run.auditReceipts().only(.forged)
            #expect(finding.detail == "receipt numbers 5 to 5 are missing")
            #expect(finding.device == run.devices[0].description)
        }
    }

    @Test func findsOneNumberWithTwoContents() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            var other: [String] = []
            try run.readAll(damage: {
                other = [$0[2].replacing(#""settled""#, with: #""altered""#)]
            })
            run.read(other, device: 0)
            let finding = try await run.auditReceipts().only(.forged)
            #expect(finding.detail.contains("read twice with different content"))
        }
    }

    @Test func mindsNoPageThatIsReadAgain() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            var page: [String] = []
            try run.readAll(damage: { page = Array($0[2..<6]) })
            let before = run.ledger.totals
            run.read(page, device: 0)
            #expect(run.ledger.totals == before)
            let report = try await run.auditReceipts()
            #expect(report.isClean, "\(report.findings)")
            #expect(report.receipts == run.bundleCount - before.refused)
        }
    }

    @Test func findsAReceiptThatIsNoJSON() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            try run.readAll()
            run.read(["{\"seq\":"], device: 1)
            let finding = try await run.auditReceipts().only(.forged)
            #expect(finding.device == run.devices[1].description)
        }
    }

    enum Change: CaseIterable {
        case count, digest, exceptionDropped, exceptionAdded, exceptionID, exceptionCode
        case exceptionOutcome, quarantined, otherQuarantine, settledInstead
    }

    @Test(arguments: Change.allCases) func findsAReceiptThatSaysSomethingElse(
        _ change: Change
    ) async throws {
        try await AuditFixture.with { run in
            let found = try run.settled { expected in
                switch change {
                case .otherQuarantine, .settledInstead: expected.quarantine != nil
                case .exceptionCode: expected.exceptions.contains { $0.code != nil }
                case .exceptionID, .exceptionOutcome:
                    expected.exceptions.contains { $0.outcome == .duplicate }
                default: expected.quarantine == nil && !expected.exceptions.isEmpty
                }
            }
            run.sendAll()
            try run.readAll(change: { Self.alter(&$0[found.position], change) })
            let finding = try await run.auditReceipts().only(.altered)
            #expect(finding.bundle == run.book.bundleID(found.number).description)
            #expect(finding.detail.hasPrefix("receipt \(found.position + 1): "))
        }
    }

    @Test func findsAReceiptOfARefusedBundle() async throws {
        try await AuditFixture.with { run in
            let refused = try #require(
                (0..<run.bundleCount).first { run.book.recipe($0).fault?.isRefused == true })
            let device = refused % run.devices.count
            run.sendAll()
            try run.readAll(
                device: device,
                change: { contents in
                    var extra = contents[0]
                    extra.bundleID = run.book.bundleID(refused)
                    contents.append(extra)
                })
            let finding = try await run.auditReceipts().only(.unexpected)
            #expect(finding.bundle == run.book.bundleID(refused).description)
        }
    }

    @Test func findsABundleThatHadToBeRefused() async throws {
        for copies in [0, 1] {
            try await AuditFixture.with { run in
                let refused = try Self.acknowledgeRefused(of: run, copies: copies)
                let finding = try await run.auditReceipts().only(.unexpected)
                #expect(finding.bundle == run.book.bundleID(refused).description)
                #expect(finding.detail.contains("had to be refused"))
            }
        }
    }

    /// Acknowledges a bundle that had to be refused, and reads so many receipts of it.
    private static func acknowledgeRefused(of run: AuditFixture, copies: Int) throws -> Int {
        let all = 0..<run.bundleCount
        let refused = try #require(all.last { run.book.recipe($0).fault?.isRefused == true })
        let device = refused % run.devices.count
        let time = run.acknowledgedAt(run.bundleCount)
        run.send(all.filter { $0 != refused })
        run.ledger.sealed(refused, digest: run.digest(refused))
        run.ledger.sent(refused, at: time)
        run.ledger.acknowledged(refused, at: time)
        var extra = run.contents(device: device)[0]
        extra.bundleID = run.book.bundleID(refused)
        try run.readAll(
            device: device, change: { $0 += Array(repeating: extra, count: copies) })
        return refused
    }

    @Test func findsASoundBundleThatWasRefused() async throws {
        try await AuditFixture.with { run in
            let sound = run.bundleCount - 1
            try #require(run.book.recipe(sound).fault == nil)
            run.send(0..<sound)
            run.ledger.sealed(sound, digest: run.digest(sound))
            run.ledger.sent(sound, at: run.acknowledgedAt(sound))
            run.ledger.refused(sound, code: "idempotency_conflict", at: run.acknowledgedAt(sound))
            try run.readAll(device: sound % run.devices.count, damage: { $0.removeLast() })
            let finding = try await run.auditReceipts().only(.altered)
            #expect(finding.bundle == run.book.bundleID(sound).description)
            #expect(finding.detail.contains("idempotency_conflict"))
        }
    }

    @Test func findsAReceiptOfAnotherDevicesBundle() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            try run.readAll(change: { contents in
                var stray = contents[0]
                stray.bundleID = run.book.bundleID(1)
                contents.append(stray)
            })
            let finding = try await run.auditReceipts().only(.unexpected)
            #expect(finding.bundle == run.book.bundleID(1).description)
            #expect(finding.device == run.devices[0].description)
        }
    }

    @Test func leavesReceiptsOfEarlierRunsAlone() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            var earlier: [ReceiptContent] = []
            var documents: [String] = []
            try run.readAll(
                change: { contents in
                    earlier = (0..<3).map { _ in
                        var content = contents[0]
                        content.bundleID = .random()
                        return content
                    }
                    contents = earlier + contents
                },
                damage: {
                    documents = $0
                    $0 = []
                })
            // Two were there before the run began, one settles while it goes on.
            run.ledger.begin(device: 0, after: 2)
            #expect(run.ledger.lastSequence(device: 0) == 2)
            run.read(Array(documents.dropFirst(2)), device: 0)
            let report = try await run.auditReceipts()
            #expect(report.isClean, "\(report.findings)")
        }
    }

    @Test func findsALateReceipt() async throws {
        try await AuditFixture.with {
            $0.lateSeconds = 0.05
        } _: { run in
            run.sendAll()
            try run.readAll(change: {
                $0[3].settledAt = Timestamp(microseconds: $0[3].settledAt.microseconds + 90_000)
            })
            // Settled late by the server's clock alone, read in time: the clock is ahead.
            #expect(try await run.auditReceipts().isClean)
        }
        try await AuditFixture.with {
            $0.lateSeconds = 0.05
        } _: { run in
            run.sendAll()
            var late: [String] = []
            try run.readAll(
                change: { contents in
                    let last = contents.count - 1
                    contents[last].settledAt = contents[last].settledAt.advanced(
                        by: .milliseconds(90))
                },
                damage: { late = [$0.removeLast()] })
            let number = try #require(
                ReceiptGlance(text: late[0]).flatMap { run.book.number(of: $0.bundleID) })
            run.ledger.receipt(
                device: 0, bytes: Array(late[0].utf8),
                at: run.acknowledgedAt(number) + 120_000_000)
            let finding = try await run.auditReceipts().only(.late)
            #expect(finding.bundle == run.book.bundleID(number).description)
            #expect(finding.detail.hasPrefix("settled 0.11"))
        }
    }

    @Test func saysThatADigestIsUnknownInsteadOfNotComparingIt() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            run.ledger.sealed(0, digest: .zero)
            try run.readAll()
            await #expect(throws: LedgerFault.damaged("bundle 0 was sent without a digest")) {
                try await run.auditReceipts()
            }
        }
    }

    @Test func countsAllFindingsAndTellsTheFirst() async throws {
        try await AuditFixture.with(bundles: 600) { run in
            run.sendAll()
            try run.readAll(damage: { $0 = [] })
            let report = try await run.auditReceipts()
            #expect(report.count(.lost) == run.contents(device: 0).count)
            #expect(report.count(.lost) > AuditReport.findingsMax)
            #expect(report.findings.count == AuditReport.findingsMax)
        }
    }

    private static func alter(_ content: inout ReceiptContent, _ change: Change) {
        func replace(
            where isWanted: (Outcome) -> Bool,
            _ body: (Int, TransactionID?, Outcome, String?) -> ReceiptException
        ) {
            for (position, exception) in content.exceptions.enumerated() {
                if case .one(let index, let id, let outcome, let code, _) = exception,
                    isWanted(outcome)
                {
                    content.exceptions[position] = body(index, id, outcome, code)
                    return
                }
            }
        }
        switch change {
        case .count: content.counts?.accepted += 1
        case .digest: content.bundleDigest = .of([1])
        case .exceptionDropped: content.exceptions.removeLast()
        case .exceptionAdded:
            content.exceptions.append(
                .one(index: 12, id: nil, outcome: .rejected, code: "invalid_json", detail: nil))
        case .exceptionID:
            replace(where: { $0 == .duplicate }) { index, _, outcome, code in
                .one(index: index, id: .random(), outcome: outcome, code: code, detail: nil)
            }
        case .exceptionCode:
            replace(where: { $0 == .rejected }) { index, id, outcome, _ in
                .one(index: index, id: id, outcome: outcome, code: "too_long", detail: nil)
            }
        case .exceptionOutcome:
            replace(where: { $0 == .duplicate }) { index, id, _, code in
                .one(index: index, id: id, outcome: .conflict, code: code, detail: nil)
            }
        case .quarantined:
            content.state = .quarantined
            content.code = .processingFailed
            content.counts = nil
            content.exceptions = []
        case .otherQuarantine: content.code = .processingFailed
        case .settledInstead:
            content.state = .settled
            content.code = nil
            content.counts = OutcomeCounts(accepted: 12)
        }
    }

    private static func folded(_ exceptions: [ReceiptException]) -> [ReceiptException] {
        var runs: [(from: Int, count: Int)] = []
        for case .one(let index, _, _, _, _) in exceptions {
            if let last = runs.last, last.from + last.count == index {
                runs[runs.count - 1].count += 1
            } else {
                runs.append((index, 1))
            }
        }
        return runs.map { .run(from: $0.from, count: $0.count, outcome: .duplicate, code: nil) }
    }

    /// Changes the character after that text into another of the same alphabet.
    private static func flipped(_ text: String, after prefix: String) -> String {
        guard let range = text.firstRange(of: prefix) else { return text }
        var text = text
        let next = text[range.upperBound] == "0" ? "1" : "0"
        text.replaceSubrange(range.upperBound...range.upperBound, with: next)
        return text
    }
}
