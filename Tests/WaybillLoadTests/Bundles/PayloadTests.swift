import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillLoad

@Suite struct PayloadTests {
    private func sketch(_ number: Int, byteCount: Int, seed: UInt64 = 1) -> TransactionSketch {
        var plan = LoadPlan()
        plan.seed = seed
        return RecipeBook(plan: plan, runID: 1).sketch(
            .init(number: number, index: 0), .init(payloadBytes: byteCount))
    }

    @Test func aPayloadHasTheLengthThatIsWanted() {
        let maker = PayloadMaker()
        var writer = ByteWriter(capacity: 1)
        for byteCount in Array(120...700) + [65_000] {
            writer.removeAll()
            maker.append(sketch(byteCount, byteCount: byteCount), to: &writer)
            let text = writer.bytes()
            #expect(text.count == byteCount)
            #expect(String(validating: text, as: UTF8.self) != nil)
            #expect(maker.body(sketch(1, byteCount: byteCount)).count == byteCount)
        }
    }

    /// Rows are compared with what was sent byte by byte: both must be PostgreSQL's own spelling.
    @Test func postgresqlPrintsAPayloadAsItWasSent() async throws {
        let maker = PayloadMaker()
        var texts: [[UInt8]] = []
        var words: Set<Substring> = []
        for number in 0..<3_000 {
            var writer = ByteWriter()
            let byteCount = [120, 250, 399, 400, 700][number % 5]
            maker.append(sketch(number, byteCount: byteCount), to: &writer)
            texts.append(writer.bytes())
            words.formUnion(String(decoding: texts[number], as: UTF8.self).split(separator: " "))
        }
        #expect(words.count > 500)
        let printed = try await TestServer.withDatabase(isMigrated: false) { database in
            let connection = try TestServer.connect(database)
            return try texts.map { text in
                try connection.query(
                    "SELECT ($1::text)::jsonb::text",
                    [.text(String(decoding: text, as: UTF8.self))])[0].text(0)
            }
        }
        for (text, back) in zip(texts, printed) {
            #expect(String(decoding: text, as: UTF8.self) == back)
            #expect(text.elementsEqual(back.utf8))
        }
    }

    /// The server's own comparison says so in BundleVerdictTests; this one says it of PostgreSQL's.
    @Test func anotherSpellingIsAnotherTextAndTheSameValue() async throws {
        let maker = PayloadMaker()
        try await TestServer.withDatabase(isMigrated: false) { database in
            let connection = try TestServer.connect(database)
            for number in 0..<256 {
                var writer = ByteWriter()
                maker.append(sketch(number, byteCount: 450), to: &writer)
                let canonical = writer.bytes()
                writer.removeAll()
                Respelling(bits: UInt64(number)).append(canonical, to: &writer)
                let other = writer.bytes()
                #expect(other != canonical)
                let isSame = try connection.query(
                    "SELECT (($1::text)::jsonb = ($2::text)::jsonb)::text",
                    [
                        .text(String(decoding: canonical, as: UTF8.self)),
                        .text(String(decoding: other, as: UTF8.self)),
                    ])[0].text(0)
                #expect(isSame == "true")
            }
        }
    }
}
