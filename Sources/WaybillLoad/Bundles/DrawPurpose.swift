/// What random numbers are drawn for when bundles are made; each has a stream of its own.
enum DrawPurpose {
    static let identifiers: UInt64 = 0xb001
    static let recipe: UInt64 = 0xb002
    static let role: UInt64 = 0xb003
    static let content: UInt64 = 0xb004
    static let spelling: UInt64 = 0xb005
    static let salt: UInt64 = 0xb006
    static let fault: UInt64 = 0xb007
}
