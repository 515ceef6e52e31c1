package import HummingbirdCore
package import Logging
package import NIOCore
package import NIOHTTPTypes

/// HTTP/1.1 on one connection with strict framing, deadlines and minimum rates.
package struct GuardedChannel: ServerChildChannel, HTTPChannelHandler {
    package typealias Value = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

    package let responder: HTTPChannelHandler.Responder
    let limits: ConnectionLimits
    let isSecure: Bool
    let watch: any ConnectionWatch

    package func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
                HTTPConnection(limits: limits, isSecure: isSecure, watch: watch))
            return try NIOAsyncChannel(
                wrappingChannelSynchronously: channel,
                configuration: .init(isOutboundHalfClosureEnabled: true))
        }
    }

    package func handle(value: Value, logger: Logger) async {
        await handleHTTP(asyncChannel: value, logger: logger)
    }
}

extension HTTPServerBuilder {
    /// - Parameter isSecure: TLS is spoken below.
    package static func guarded(
        limits: ConnectionLimits, isSecure: Bool = false,
        watch: any ConnectionWatch = NoWatch()
    ) -> HTTPServerBuilder {
        HTTPServerBuilder { responder in
            GuardedChannel(responder: responder, limits: limits, isSecure: isSecure, watch: watch)
        }
    }
}
