import Testing

@testable import WaybillModel

@Suite struct IdentifierTests {
    @Test func readsEitherCaseAndWritesLowerCase() throws {
        let id = try #require(DeviceID("5F1C2D3E-4B5A-4978-8695-A4B3C2D1E0F0"))
        #expect(id.description == "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0")
        #expect(DeviceID(bytes: id.bytes) == id)
        #expect(DeviceID(ascii: Array(id.description.utf8)) == id)
    }

    @Test(arguments: [
        "", "5f1c2d3e4b5a49788695a4b3c2d1e0f0", "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f",
        "5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0fg", "{f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0",
        "5f1c2d3e-4b5a-4978-8695a-4b3c2d1e0f0", " 5f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f",
    ]) func refusesOtherForms(text: String) {
        #expect(DeviceID(text) == nil)
    }

    @Test func sortsAsItsBytes() {
        var generator = SystemRandomNumberGenerator()
        let ids = (0..<200).map { _ in BundleID.random(using: &generator) }
        let byValue = ids.sorted()
        let byBytes = ids.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
        #expect(byValue == byBytes)
    }

    @Test func timeOrderedOnesSortByTime() {
        var generator = SystemRandomNumberGenerator()
        let early = BundleID.timeOrdered(at: Timestamp(microseconds: 1_000_000), using: &generator)
        let late = BundleID.timeOrdered(at: Timestamp(microseconds: 2_000_000), using: &generator)
        #expect(early < late)
        #expect(early.high >> 12 & 15 == 7)
    }
}

@Suite struct TimestampTests {
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2013-01-01T05:00:00-05:00", 1_357_034_400_000_000),
        ("2000-02-29T23:59:60Z", 951_868_800_000_000), ("1969-12-31T23:59:59.9999999Z", -1),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("2016-06-30T23:59:60Z", 1_467_331_200_000_000),
        ("2016-07-01T01:59:60+02:00", 1_467_331_200_000_000),
        ("2016-06-30T19:59:60-04:00", 1_467_331_200_000_000),
        ("1969-12-31T23:59:60Z", 0), ("2016-06-30 23:59:60Z", 1_467_331_200_000_000),
        ("9999-12-31T23:59:59Z", 253_402_300_799_000_000),
        ("2024-01-01t00:00:00.5z", 1_704_067_200_500_000),
    ]) func readsRFC3339(text: String, microseconds: Int64) {
        #expect(Timestamp(rfc3339: text)?.microseconds == microseconds)
    }

    @Test(arguments: [
        "2013-01-01T05:00:00", "2013-02-29T00:00:00Z", "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2013-13-01T00:00:00Z", "2013-01-01T24:00:00Z", "2013-01-01T00:60:00Z",
        "2013-01-01T00:00:61Z", "2016-12-30T23:59:60Z", "2016-12-01T23:59:60Z",
        "2016-12-31T23:58:60Z", "2016-07-01T12:34:60Z", "2016-06-30T23:59:60-04:00",
        "9999-12-31T23:59:60Z", "9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01",
        "2013-01-01T00:00:00.Z", "2013-01-01T00:00:00+24:00", "2013-01-01T00:00:00Zx", "",
    ]) func refusesOtherTexts(text: String) {
        #expect(Timestamp(rfc3339: text) == nil)
    }

    @Test func writesWhatItReads() {
        for microseconds in stride(
            from: Int64(-62_135_596_800_000_000), to: 253_402_300_799_999_999,
            by: 86_399_999_999_937 * 7)
        {
            let time = Timestamp(microseconds: microseconds)
            #expect(Timestamp(rfc3339: time.description) == time)
        }
    }
}

@Suite struct EncodingTests {
    @Test func base64URLRoundTripsEveryLength() {
        for count in 0..<70 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255) }
            #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
        }
    }

    @Test(arguments: ["A", "AB=", "A+BC", "A/BC", "AB CD", "AB", "AAB"])
    func base64URLRefusesPaddingOtherAlphabetsAndStrayBits(text: String) {
        #expect(Base64URL.decode(text) == nil)
    }

    @Test func hexadecimalRoundTrips() {
        let bytes = Array(UInt8.min...UInt8.max)
        #expect(Hexadecimal.decode(Hexadecimal.encode(bytes)) == bytes)
        #expect(Hexadecimal.decode("abc") == nil)
        #expect(Hexadecimal.decode("zz") == nil)
    }

    @Test(arguments: ["acme", "a", "0-9", String(repeating: "a", count: 63)])
    func takesSlugs(text: String) {
        #expect(TenantSlug(text)?.text == text)
    }

    @Test(arguments: ["", "-a", "Acme", "a_b", "ä", String(repeating: "a", count: 64), "a/b"])
    func refusesOtherTenantNames(text: String) {
        #expect(TenantSlug(text) == nil)
    }
}

@Suite struct ProblemCodeTests {
    /// The statuses that CONTRACT.md names, code by code.
    @Test(arguments: [
        (ProblemCode.unauthorized, 401), (.notFound, 404), (.invalidRequest, 400),
        (.idempotencyKeyMissing, 400), (.idempotencyConflict, 422), (.digestMismatch, 422),
        (.offsetConflict, 409), (.alreadyComplete, 409), (.notIssued, 409), (.tooLarge, 413),
        (.unsupportedMediaType, 415), (.headerTooLarge, 431), (.tooManyOpen, 429),
        (.rateLimited, 429), (.codeInvalid, 403), (.databaseUnavailable, 503),
        (.backlogFull, 503), (.shuttingDown, 503), (.diskFull, 507),
    ]) func statusesAreThoseOfTheContract(code: ProblemCode, status: Int) {
        #expect(Problem(code, "x").status == status)
    }
}
