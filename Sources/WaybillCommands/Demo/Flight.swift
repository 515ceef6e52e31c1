internal import DemoFlights
internal import WaybillModel

/// One flight of the sample: a transaction to be.
struct Flight: Sendable {
    /// Nil where the records do not say which aircraft flew.
    let tailNumber: String?
    /// Of the month.
    let day: Int
    /// RFC 3339; the hour of the planned departure.
    let hour: String
    /// All columns as one JSON object.
    let payload: String
    let id: TransactionID

    /// The transaction's line in a bundle.
    var line: [UInt8] {
        Array(
            #"{"id":"\#(id)","type":"flight.departed","occurred_at":"\#(hour)","payload":\#(payload)}"#
                .utf8)
    }
}

/// The flights that left New York City's airports from 1 to 7 January 2013.
///
/// Source: US Bureau of Transportation Statistics, as packed in nycflights13 (CC0).
enum FlightsWeek {
    static let count = 6_099
    private static let unpackedBytesMax = 1 << 20
    private static let textColumns: Set<String> = [
        "carrier", "tailnum", "origin", "dest", "time_hour",
    ]

    /// In the order of the records.
    static func load() throws -> [Flight] {
        let text = String(
            decoding: try Gunzip.inflate(
                DemoFlights.gzippedCSV, bytesMax: unpackedBytesMax),
            as: UTF8.self)
        var lines = text.split(separator: "\n")
        guard !lines.isEmpty else { return [] }
        let columns = lines.removeFirst().split(separator: ",").map(String.init)
        return lines.enumerated().map { row, line in
            flight(row: row, columns: columns, cells: line.split(separator: ",").map(String.init))
        }
    }

    private static func flight(row: Int, columns: [String], cells: [String]) -> Flight {
        var values: [String: String] = [:]
        var members: [String] = []
        for (column, cell) in zip(columns, cells) {
            values[column] = cell
            if cell == "NA" || cell.isEmpty {
                members.append(#""\#(column)":null"#)
            } else if textColumns.contains(column) {
                members.append(#""\#(column)":"\#(cell)""#)
            } else {
                members.append(#""\#(column)":\#(cell)"#)
            }
        }
        let tail = values["tailnum"].flatMap { $0 == "NA" || $0.isEmpty ? nil : $0 }
        return Flight(
            tailNumber: tail, day: values["day"].flatMap { Int($0) } ?? 0,
            hour: values["time_hour"] ?? "", payload: "{" + members.joined(separator: ",") + "}",
            id: StableID.transaction("flight", row, cells.joined(separator: ",")))
    }
}

/// Identifiers that come out the same at every run: version 8 of RFC 9562 over a SHA-256.
enum StableID {
    static func transaction(_ kind: String, _ number: Int, _ content: String) -> TransactionID {
        identifier("\(kind)/\(number)/\(content)")
    }

    static func bundle(device: DeviceID, day: Int) -> BundleID {
        identifier("bundle/\(device)/\(day)")
    }

    private static func identifier<Kind>(_ name: String) -> Identifier<Kind> {
        var high: UInt64 = 0
        var low: UInt64 = 0
        for (index, byte) in Digest256.of(Array("waybill demo/\(name)".utf8)).bytes.prefix(16)
            .enumerated()
        {
            if index < 8 {
                high = high << 8 | UInt64(byte)
            } else {
                low = low << 8 | UInt64(byte)
            }
        }
        return Identifier(
            high: high & 0xffff_ffff_ffff_0fff | 0x8000,
            low: low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000)
    }
}
