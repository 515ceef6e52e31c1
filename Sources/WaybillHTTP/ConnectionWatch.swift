package import NIOCore

/// Told about connections, on their event loops: be quick.
package protocol ConnectionWatch: Sendable {
    func connectionOpened()
    func connectionClosed()
    /// A connection ended for a fault of the peer's.
    func refused(_ fault: RequestFault, peer: SocketAddress?)
}

/// For whom connections need no watching.
package struct NoWatch: ConnectionWatch {
    package init() {}
    package func connectionOpened() {}
    package func connectionClosed() {}
    package func refused(_ fault: RequestFault, peer: SocketAddress?) {}
}
