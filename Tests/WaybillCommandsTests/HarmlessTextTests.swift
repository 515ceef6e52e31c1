internal import Testing

@testable internal import WaybillCommands

@Suite("Text from devices on a terminal")
struct HarmlessTextTests {
    @Test(arguments: ["\u{1b}[2J", "\u{9b}31m", "a\r\nb", "\u{202e}evil", "\u{7f}", "\u{0}"])
    func movesNoCursorAndStartsNoLine(name: String) {
        let shown = HarmlessText.of(name)
        for scalar in shown.unicodeScalars {
            #expect(scalar.value >= 0x20 && !(0x7f..<0xa0).contains(scalar.value))
            #expect(scalar.value != 0x202e)
        }
    }

    @Test func ordinaryTextStays() {
        #expect(HarmlessText.of("Gerät №7 – 東京 <img onerror=x>") == "Gerät №7 – 東京 <img onerror=x>")
    }

    @Test func aTableStaysOneLineARow() {
        var table = TextTable(["NAME", "N"], numericColumns: [1])
        table.add(["two\nlines\u{1b}c", "7"])
        table.add(["x", "123"])
        #expect(
            table.text == """
                NAME                     N
                two\\u000alines\\u001bc    7
                x                      123
                """)
    }
}
