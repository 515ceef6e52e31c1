import Testing
import WaybillModel

@testable import WaybillLoad

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

struct BundleLedgerTests {
    @Test func knowsWhatIsOpen() async throws {
        try await AuditFixture.with { run in
            let numbers = Array(
                [0, 3, 6, 9, 12, 15].filter { run.book.recipe($0).fault?.isRefused != true }
                    .prefix(3))
            run.send(numbers)
            #expect(run.ledger.openBundles(device: 0) == 3)
            #expect(run.ledger.totals.open == 3)
            let documents = try run.sign(run.contents(device: 0))
            let news = try #require(
                run.ledger.receipt(
                    device: 0, bytes: Array(documents[0].utf8), at: 77_000_000))
            let number = numbers[0]
            #expect(news.number == number && news.sequence == 1 && news.isFirst)
            #expect(news.counts == run.book.expectation(number, digest: .zero)?.counts)
            #expect(news.firstSent == run.acknowledgedAt(number) - 5_000_000)
            #expect(news.intended == run.acknowledgedAt(number) - 6_000_000)
            #expect(run.ledger.openBundles(device: 0) == 2)
            #expect(run.ledger.lastSequence(device: 0) == 1)
            #expect(run.ledger.record(number).settled == 77_000_000)
            // Once more: no news.
            let again = run.ledger.receipt(device: 0, bytes: Array(documents[0].utf8), at: 1)
            #expect(again?.isFirst == false)
            #expect(run.ledger.openBundles(device: 0) == 2)
        }
    }

    @Test func opensNothingWhenTheReceiptComesBeforeTheAcknowledgement() async throws {
        try await AuditFixture.with { run in
            let number = try #require(
                [0, 3, 6].first { run.book.recipe($0).fault?.isRefused != true })
            run.send([number], unanswered: [number])
            let content = try #require(run.content(number))
            let document = try run.sign([content])[0]
            run.ledger.receipt(device: 0, bytes: Array(document.utf8), at: 9)
            #expect(run.ledger.totals.unanswered == 1)
            run.ledger.acknowledged(number, at: 10)
            run.ledger.acknowledged(number, at: 11)
            let totals = run.ledger.totals
            #expect(totals.open == 0 && totals.acknowledged == 1 && totals.unanswered == 0)
            #expect(run.ledger.record(number).acknowledged == 10)
        }
    }

    @Test func countsEachTryAndKeepsTheFirstTime() async throws {
        try await AuditFixture.with { run in
            run.ledger.planned(4, intended: 5)
            run.ledger.sent(4, at: 10)
            run.ledger.sent(4, at: 20)
            run.ledger.refused(4, code: "archive_empty", at: 30)
            run.ledger.acknowledged(4, at: 40)
            let record = run.ledger.record(4)
            #expect(record.sends == 2 && record.firstSent == 10 && record.step == .refused)
            #expect(record.intended == 5)
            #expect(run.ledger.refusalCode(4) == "archive_empty")
            let totals = run.ledger.totals
            #expect(totals.planned == 1 && totals.sent == 1 && totals.sends == 2)
            #expect(totals.refused == 1 && totals.acknowledged == 0 && totals.unanswered == 0)
        }
    }

    @Test func saysNothingOfReceiptsThatAreNotOfTheRun() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            var content = try #require(run.contents(device: 0).first)
            content.bundleID = .random()
            let document = try run.sign([content])[0]
            #expect(
                run.ledger.receipt(device: 0, bytes: Array(document.utf8), at: 1) == nil)
            // It counts among those that were read.
            #expect(run.ledger.lastSequence(device: 0) == 1)
            #expect(run.ledger.receipt(device: 0, bytes: Array("{}".utf8), at: 1) == nil)
            let other = try run.sign(run.contents(device: 1))[0]
            #expect(run.ledger.receipt(device: 0, bytes: Array(other.utf8), at: 1) == nil)
        }
    }

    @Test func isTheSameAfterSavingAndLoading() async throws {
        try await AuditFixture.with { run in
            run.send(0..<run.bundleCount, unanswered: [run.bundleCount - 1])
            run.ledger.begin(device: 2, after: 0)
            try run.readAll(change: { $0[2].counts = OutcomeCounts(accepted: 1) })
            let before = try await run.auditReceipts()
            #expect(!before.isClean)
            try run.ledger.save()
            let book = run.book
            let loaded = try BundleLedger.load(run.directory) { book.number(of: $0) }
            #expect(loaded.run.devices == run.devices && loaded.run.plan == run.plan)
            #expect(loaded.run.runID == book.runID && loaded.run.startedAt == run.startedAt)
            #expect(try BundleLedger.run(in: run.directory).tenant == run.ledger.run.tenant)
            #expect(loaded.count == run.ledger.count)
            for number in 0..<loaded.count {
                #expect(loaded.record(number) == run.ledger.record(number))
                #expect(loaded.refusalCode(number) == run.ledger.refusalCode(number))
            }
            var totals = run.ledger.totals
            totals.outcomes = OutcomeCounts()
            #expect(loaded.totals == totals)
            #expect(loaded.lastSequence(device: 1) == run.ledger.lastSequence(device: 1))
            let after = try await ReceiptAudit(ledger: loaded, source: book).run()
            #expect(after == before)
        }
    }

    @Test func refusesFilesThatAreCutOff() async throws {
        try await AuditFixture.with { run in
            run.sendAll()
            try run.readAll()
            try run.ledger.save()
            let book = run.book
            for name in ["bundles.bin", "receipts.spool"] {
                let path = run.directory + "/" + name
                var facts = stat()
                #expect(stat(path, &facts) == 0)
                #expect(truncate(path, facts.st_size - 3) == 0)
                await #expect(throws: LedgerFault.self) {
                    let loaded = try BundleLedger.load(run.directory) { book.number(of: $0) }
                    _ = try await ReceiptAudit(ledger: loaded, source: book).run()
                }
                try run.ledger.save()
            }
        }
    }

    @Test func findsTheReceiptsOfAPage() throws {
        let page =
            #" {"last":2, "receipts" : [ {"a":"}],[\""},{"b":[{},[1,2]]} ] ,"safe_through":2} "#
        let bytes = Array(page.utf8)
        let ranges = try #require(bytes.withUnsafeBytes { ReceiptGlance.documents(inPage: $0) })
        let documents = ranges.map { String(decoding: bytes[$0], as: UTF8.self) }
        #expect(documents == [#"{"a":"}],[\""}"#, #"{"b":[{},[1,2]]}"#])
        for text in [#"{"receipts":[],"last":0}"#, #"{"receipts":[{"a":1}"#, "[]", ""] {
            let found = Array(text.utf8).withUnsafeBytes { ReceiptGlance.documents(inPage: $0) }
            #expect(found == (text.hasPrefix(#"{"receipts":[],"#) ? [] : nil))
        }
    }

    @Test func readsAReceiptAtAGlance() async throws {
        try await AuditFixture.with { run in
            for (position, document) in try run.sign(run.contents(device: 0)).enumerated() {
                let glance = try #require(ReceiptGlance(text: document))
                let content = run.contents(device: 0)[position]
                #expect(glance.sequence == Int64(position + 1))
                #expect(glance.bundleID == content.bundleID)
                #expect(glance.isSettled == (content.state == .settled))
                #expect(glance.counts == content.counts ?? OutcomeCounts())
                // No prefix of it is a receipt.
                for count in 0..<document.utf8.count {
                    #expect(ReceiptGlance(text: String(document.prefix(count))) == nil)
                }
            }
        }
    }

    @Test func findsTheLongestRisingRun() {
        #expect(RisingRun.longest([]) == [])
        #expect(RisingRun.longest([1, 2, 3]) == [0, 1, 2])
        #expect(RisingRun.longest([1, 5, 3, 4, 2, 6]) == [0, 2, 3, 5])
        #expect(RisingRun.longest([3, 2, 1]).count == 1)
    }
}
