internal import Foundation

/// A value's parts by the path that leads to each, as in `arrivals.rate` or `mix[0].parts`.
enum FlatValues {
    /// By rising path; nothing where the value cannot be written as JSON.
    static func of(_ value: some Encodable) -> [(path: String, text: String)] {
        let tree: JSONTree
        do {
            tree = try JSONDecoder().decode(JSONTree.self, from: try JSONEncoder().encode(value))
        } catch {
            // Only a number without end cannot be encoded, and a report that holds one is refused
            // when it is read or written.
            return []
        }
        var parts: [(path: String, text: String)] = []
        tree.collect("", into: &parts)
        return parts
    }
}

private indirect enum JSONTree: Decodable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case list([JSONTree])
    case object([String: JSONTree])

    init(from decoder: any Decoder) throws {
        if let members = try? decoder.container(keyedBy: AnyKey.self) {
            var object: [String: JSONTree] = [:]
            for key in members.allKeys {
                object[key.stringValue] = try members.decode(JSONTree.self, forKey: key)
            }
            self = .object(object)
            return
        }
        if var elements = try? decoder.unkeyedContainer() {
            var list: [JSONTree] = []
            while !elements.isAtEnd { list.append(try elements.decode(JSONTree.self)) }
            self = .list(list)
            return
        }
        // Each failure only means that it is of another kind.
        let single = try decoder.singleValueContainer()
        if single.decodeNil() {
            self = .null
        } else if let value = try? single.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? single.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? single.decode(Double.self) {
            self = .number(value)
        } else {
            self = .text(try single.decode(String.self))
        }
    }

    func collect(_ path: String, into parts: inout [(path: String, text: String)]) {
        switch self {
        case .null: break
        case .bool(let value): parts.append((path, value ? "true" : "false"))
        case .integer(let value): parts.append((path, String(value)))
        case .number(let value): parts.append((path, "\(value)"))
        case .text(let value): parts.append((path, value))
        case .list(let elements):
            for (index, element) in elements.enumerated() {
                element.collect("\(path)[\(index)]", into: &parts)
            }
        case .object(let members):
            for key in members.keys.sorted() {
                members[key]?.collect(path.isEmpty ? key : "\(path).\(key)", into: &parts)
            }
        }
    }

    private struct AnyKey: CodingKey {
        let stringValue: String
        let intValue: Int? = nil

        init(stringValue: String) { self.stringValue = stringValue }

        init?(intValue: Int) { nil }
    }
}
