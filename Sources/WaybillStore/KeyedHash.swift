internal import Crypto
internal import WaybillModel

/// HMAC-SHA256 under one key, which is worked in once for many messages.
struct KeyedHash: Sendable {
    private let start: HMAC<SHA256>

    init(key: [UInt8]) {
        start = HMAC<SHA256>(key: SymmetricKey(data: key))
    }

    func code(of message: [UInt8]) -> Digest256 {
        var state = start
        state.update(data: message)
        // A SHA-256 has 32 bytes, always.
        return Digest256(bytes: Array(state.finalize())) ?? .zero
    }
}
