internal import Foundation

extension LoadReport {
    /// The version that this program writes and reads.
    package static let currentVersion = 1

    /// Reads what ``json()`` wrote.
    package init(json bytes: [UInt8]) throws(ReportFault) {
        let data = Data(bytes)
        let decoder = JSONDecoder()
        let head: Head
        do {
            head = try decoder.decode(Head.self, from: data)
        } catch {
            throw .notAReport(Self.reason(error))
        }
        guard let version = head.version else { throw .notAReport("it has no version") }
        guard version == Self.currentVersion else { throw .version(version) }
        do {
            self = try decoder.decode(LoadReport.self, from: data)
        } catch {
            throw .notAReport(Self.reason(error))
        }
    }

    /// The report as JSON, with sorted keys and a line feed at the end: the same report gives the
    /// same bytes.
    package func json() throws(ReportFault) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        do {
            return Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
        } catch EncodingError.invalidValue(_, let context) {
            throw .notFinite(Self.place(context.codingPath))
        } catch {
            throw .notFinite("an unknown place")
        }
    }

    private struct Head: Decodable {
        var version: Int?
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, let context):
            "\(place(context.codingPath + [key])) is missing"
        case DecodingError.typeMismatch(_, let context),
            DecodingError.valueNotFound(_, let context):
            "\(place(context.codingPath)) is of another type"
        case DecodingError.dataCorrupted(let context) where !context.codingPath.isEmpty:
            "\(place(context.codingPath)): \(context.debugDescription)"
        default: "not JSON"
        }
    }

    private static func place(_ path: [any CodingKey]) -> String {
        var text = ""
        for key in path {
            if let index = key.intValue {
                text += "[\(index)]"
            } else {
                text += (text.isEmpty ? "" : ".") + key.stringValue
            }
        }
        return text.isEmpty ? "the top" : text
    }
}
