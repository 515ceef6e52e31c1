/// One SQL statement, known when the program was built: values reach the server as parameters only.
///
/// Written as a literal without interpolation. Parameters carry their types as casts (`$1::uuid`),
/// so that their binary form is never guessed.
package struct PostgresStatement: ExpressibleByStringLiteral, Sendable {
    let text: StaticString

    package init(stringLiteral text: StaticString) {
        self.text = text
    }

    /// Where the literal lies in the program: what prepared statements are remembered by.
    var address: UInt {
        unsafe UInt(bitPattern: text.utf8Start)
    }
}
