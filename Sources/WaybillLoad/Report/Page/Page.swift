/// The frame of a page and the pieces that all pages are put together from.
enum Page {
    /// A whole file, which needs nothing beside itself.
    static func html(title: String, _ body: (inout MarkupWriter) -> Void) -> String {
        var page = MarkupWriter()
        page.write(trusted: "<!DOCTYPE html>\n")
        page.element("html", ["lang": "en", "xmlns": "http://www.w3.org/1999/xhtml"]) { page in
            page.element("head") { page in
                page.empty("meta", ["charset": "utf-8"])
                page.empty(
                    "meta",
                    ["name": "viewport", "content": "width=device-width, initial-scale=1"])
                // Nothing may be loaded or run, whatever got into a text.
                page.empty(
                    "meta",
                    [
                        "http-equiv": "Content-Security-Policy",
                        "content": "default-src 'none'; style-src 'unsafe-inline'",
                    ])
                page.element("title", text: title)
                page.element("style") { $0.write(trusted: PageStyle.sheet) }
            }
            page.element("body") { body(&$0) }
        }
        page.write(trusted: "\n")
        return page.text
    }
}

extension MarkupWriter {
    /// How a figure is to be taken; shown by colour and by a sign.
    enum Mood: String {
        case good, bad, warn, plain

        var sign: String {
            switch self {
            case .good: "✓ "
            case .bad: "✗ "
            case .warn: "! "
            case .plain: ""
            }
        }
    }

    /// A box with one sentence that stands out, and others.
    mutating func verdict(_ mood: Mood, _ head: String, _ lines: [String]) {
        element("div", ["class": "verdict \(mood.rawValue)"]) { page in
            page.element("p", text: mood.sign + head)
            for line in lines { page.element("p", text: line) }
        }
    }

    /// One large figure and what it is.
    struct Tile {
        var figure: String
        var label: String
        var mood = Mood.plain
    }

    mutating func tiles(_ tiles: [Tile], isSmall: Bool = false) {
        element("ul", ["class": isSmall ? "tiles small" : "tiles"]) { page in
            for tile in tiles {
                page.element("li", ["class": tile.mood.rawValue]) { page in
                    page.element("b", text: tile.figure)
                    page.element("span", text: tile.label)
                }
            }
        }
    }

    /// A column's heading and how its cells look.
    struct Column {
        var title: String
        var style = ""

        static func number(_ title: String) -> Column { Column(title: title, style: "n") }
        static func text(_ title: String) -> Column { Column(title: title, style: "text") }
        static func id(_ title: String) -> Column { Column(title: title, style: "id") }
    }

    /// - Parameter mood: of a row's last cell.
    mutating func table(
        _ columns: [Column], _ rows: [[String]], mood: (Int) -> Mood = { _ in .plain }
    ) {
        element("div", ["class": "scroll"]) { page in
            page.element("table") { page in
                page.element("thead") { page in
                    page.element("tr") { page in
                        for column in columns {
                            page.element("th", ["class": column.style], text: column.title)
                        }
                    }
                }
                page.element("tbody") { page in
                    for (index, row) in rows.enumerated() {
                        page.row(columns, row, mood(index))
                    }
                }
            }
        }
    }

    private mutating func row(_ columns: [Column], _ cells: [String], _ mood: Mood) {
        element("tr") { page in
            for (index, (column, cell)) in zip(columns, cells).enumerated() {
                let isLast = index == cells.count - 1 && mood != .plain
                page.element(
                    "td", ["class": isLast ? column.style + " " + mood.rawValue : column.style],
                    text: isLast ? mood.sign + cell : cell)
            }
        }
    }

    /// Names and values, one a line.
    mutating func list(_ rows: [(String, String)]) {
        element("div", ["class": "scroll"]) { page in
            page.element("table") { page in
                page.element("tbody") { page in
                    for (name, value) in rows {
                        page.element("tr") { page in
                            page.element("th", text: name)
                            page.element("td", ["class": "text"], text: value)
                        }
                    }
                }
            }
        }
    }
}
