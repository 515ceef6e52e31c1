/// What one connection may send, and how long it may take.
package struct ConnectionLimits: Sendable, Equatable {
    /// Bytes of a request's head, from the method to the empty line.
    package var headBytesMax = 16 << 10
    package var fieldsMax = 256
    /// From a head's first byte, or the connection's beginning, to the head's last byte.
    package var headDeadline = Duration.seconds(10)
    /// Between an answer and the first byte of the next request.
    package var idleTimeout = Duration.seconds(90)
    /// Bytes a second, both of a body on its way in and of an answer on its way out.
    package var bytesPerSecondMin = 1 << 10
    /// Over which those are counted.
    package var rateWindow = Duration.seconds(30)
    /// After an answer that ends the connection: for how long the peer may go on sending, so that
    /// it gets to read the answer.
    package var lingering = Duration.seconds(2)
    /// For how long bodies and answers that are under way may go on when the server ends.
    package var shutdownGrace = Duration.seconds(10)
    /// Bytes of later requests that are held while one is answered.
    package var pipelinedBytesMax = 64 << 10

    package init() {}

    /// Bytes that a window must bring.
    var bytesPerWindowMin: Int {
        let (seconds, attoseconds) = rateWindow.components
        let milliseconds = Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000)
        return bytesPerSecondMin * milliseconds / 1000
    }
}
