#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Looks for the empty line that ends a head or the trailers, each byte once.
struct LineScan {
    enum Outcome: Equatable {
        case incomplete
        /// The empty line ends at this offset.
        case end(Int)
        /// The input begins with an empty line, which is to be left out.
        case leadingEmptyLine
        case fault(RequestFault)
    }

    /// Up to here nothing is left to look at.
    private var offset = 0
    private var lineStart = 0
    /// Lines with something in them.
    private(set) var lineCount = 0

    /// - Parameters:
    ///   - mayBeEmpty: an empty line at the very beginning is the end, too.
    ///   - linesMax: lines before the empty one.
    mutating func find(
        in bytes: UnsafeRawBufferPointer, mayBeEmpty: Bool, linesMax: Int, bytesMax: Int
    ) -> Outcome {
        guard let base = bytes.baseAddress else { return .incomplete }
        while offset < bytes.count,
            let found = memchr(base + offset, Int32(Octets.lineFeed), bytes.count - offset)
        {
            let lineFeed = UnsafeRawPointer(found) - base
            guard lineFeed > lineStart, bytes[lineFeed - 1] == Octets.carriageReturn else {
                return .fault(.lineEnd)
            }
            let isEmpty = lineFeed - 1 == lineStart
            lineStart = lineFeed + 1
            offset = lineStart
            if isEmpty {
                guard lineCount == 0, !mayBeEmpty else {
                    return lineStart <= bytesMax ? .end(lineStart) : .fault(.headTooLarge)
                }
                return .leadingEmptyLine
            }
            lineCount += 1
            if lineCount > linesMax { return .fault(.tooManyFields) }
        }
        offset = bytes.count
        return bytes.count > bytesMax ? .fault(.headTooLarge) : .incomplete
    }
}
