internal import Crypto
package import HTTPTypes

/// The token of the local operator, whose role is `admin`; kept as its hash.
package struct OperatorToken: Sendable {
    private let hash: [UInt8]

    package init(_ token: String) {
        hash = Array(SHA256.hash(data: Array(token.utf8)))
    }

    /// Whether the request carries this token; takes the same time whatever it carries.
    package func matches(_ fields: HTTPFields) -> Bool {
        let values = fields[values: .authorization]
        guard values.count == 1, let value = values.first,
            let space = value.firstIndex(of: " "), value[..<space].lowercased() == "bearer"
        else { return false }
        let given = value[space...].drop { $0 == " " }
        var difference: UInt8 = 0
        for (left, right) in zip(SHA256.hash(data: Array(given.utf8)), hash) {
            difference |= left ^ right
        }
        return difference == 0
    }
}
