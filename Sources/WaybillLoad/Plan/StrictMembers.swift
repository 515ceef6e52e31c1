/// The members of one object of a plan, where a name that nobody knows is an error: a plan with a
/// slip of the pen would otherwise measure something else than its author thinks.
struct StrictMembers<Key: CodingKey & CaseIterable> {
    private let container: KeyedDecodingContainer<Key>

    init(_ decoder: any Decoder, _ keys: Key.Type) throws {
        let known = Set(Key.allCases.map(\.stringValue))
        let all = try decoder.container(keyedBy: AnyName.self)
        if let stranger = all.allKeys.first(where: { !known.contains($0.stringValue) }) {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(
                    codingPath: decoder.codingPath,
                    debugDescription: "there is no \"\(stranger.stringValue)\" here; there are: "
                        + known.sorted().joined(separator: ", ")))
        }
        container = try decoder.container(keyedBy: Key.self)
    }

    /// Replaces `value`, the default, if the member is there.
    func read<Value: Decodable>(_ key: Key, into value: inout Value) throws {
        if let found = try container.decodeIfPresent(Value.self, forKey: key) { value = found }
    }

    /// Replaces `value`, the default, if the member is there; null is nil.
    func read<Value: Decodable>(_ key: Key, into value: inout Value?) throws {
        if container.contains(key) {
            value = try container.decodeIfPresent(Value.self, forKey: key)
        }
    }

    func require<Value: Decodable>(_ key: Key) throws -> Value {
        try container.decode(Value.self, forKey: key)
    }

    private struct AnyName: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}
