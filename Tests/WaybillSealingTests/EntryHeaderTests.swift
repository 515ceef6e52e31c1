import Testing

@testable import WaybillSealing

@Suite struct EntryHeaderTests {
    @Test func isOneLineWithALineFeed() {
        let header = EntryHeader(
            bundleID: "b", deviceID: "d", part: 2, parts: 3, transactions: 4, deviceSequence: 17,
            sealedAt: "2026-11-21T03:00:00Z")
        #expect(
            String(decoding: header.line(), as: UTF8.self)
                == #"{"waybill":1,"bundle_id":"b","device_id":"d","part":2,"parts":3,"#
                + #""transactions":4,"device_seq":17,"sealed_at":"2026-11-21T03:00:00Z"}"# + "\n")
    }

    @Test func leavesOutTheSequenceOfADeviceThatDoesNotCountAndEscapesText() {
        let header = EntryHeader(
            bundleID: "b", deviceID: "d", transactions: 0, sealedAt: "\"\\\n")
        #expect(
            String(decoding: header.line(), as: UTF8.self)
                == #"{"waybill":1,"bundle_id":"b","device_id":"d","part":1,"parts":1,"#
                + #""transactions":0,"sealed_at":"\"\\\u000a"}"# + "\n")
    }
}
