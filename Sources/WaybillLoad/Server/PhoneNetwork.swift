internal import CPhoneNetwork

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// A network between the devices and the server, in which phone networks can be had.
///
/// The devices live in a network namespace of their own, into which the threads of their connections
/// move (``enter()``); everything else, the server too, stays in this process's, which is cut off from
/// the world (``ChaosGround``). A pair of virtual Ethernet devices joins the two; its trouble is made by
/// `tc netem`, or, where the kernel has none, by packets that this process hands from one side to the
/// other through two TUN devices: the same addresses, so that connections live on.
///
/// Everything goes with the process: neither namespace has a name.
package final class PhoneNetwork: Sendable {
    /// Where the server is, of the addresses for tests of networks (RFC 2544; RFC 6890, table 6).
    package static let serverAddress = "198.18.0.1"
    static let phonesAddress = "198.18.0.2"

    private enum Trouble: Sendable {
        case netem
        case relay(PacketRelay)
    }

    /// Keeps the devices' namespace.
    private let namespace: Int32
    private let trouble: Trouble
    private let phones: Int
    private let seed: UInt64

    /// What makes the trouble, for reports.
    package var means: String {
        switch trouble {
        case .netem: "tc netem"
        case .relay: "a relay of packets (this kernel has no netem)"
        }
    }

    /// Makes the network; it does nothing bad yet. Only in a namespace of this process's own.
    ///
    /// - Parameters:
    ///   - phones: how many share the wire; each has a phone's rate.
    ///   - seed: of what is random in a relay.
    package static func make(phones: Int, seed: UInt64) async throws(ServerFailure) -> PhoneNetwork
    {
        let namespace = try await OwnThread.run("phones") { () throws(ServerFailure) in
            let descriptor = waybill_network_leave()
            guard descriptor >= 0 else {
                throw .impossible("no network namespace can be made (errno \(errno))")
            }
            return descriptor
        }
        let inside = phonesPrefix(namespace)
        try await SystemTool.run(["ip", "link", "set", "lo", "up"])
        try await SystemTool.run(inside + ["ip", "link", "set", "lo", "up"])
        try await SystemTool.run(["ip", "address", "add", serverAddress + "/32", "dev", "lo"])
        try await SystemTool.run(
            inside + ["ip", "address", "add", phonesAddress + "/32", "dev", "lo"])
        try await SystemTool.run(
            inside + [
                "ip", "link", "add", "phones0", "type", "veth", "peer", "name", "server0", "netns",
                "\(getpid())",
            ])
        // One packet at a time: netem would lose and delay large ones that stand for dozens.
        try await SystemTool.run(["ip", "link", "set", "server0", "gso_max_segs", "1", "up"])
        try await SystemTool.run(
            inside + ["ip", "link", "set", "phones0", "gso_max_segs", "1", "up"])
        let trouble = try await makeTrouble(namespace)
        let network = PhoneNetwork(namespace, trouble, phones: phones, seed: seed)
        try await network.route(over: 0)
        return network
    }

    private init(_ namespace: Int32, _ trouble: Trouble, phones: Int, seed: UInt64) {
        self.namespace = namespace
        self.trouble = trouble
        self.phones = phones
        self.seed = seed
    }

    deinit {
        close(namespace)
    }

    private static func makeTrouble(_ namespace: Int32) async throws(ServerFailure) -> Trouble {
        do throws(ServerFailure) {
            try await SystemTool.run(["tc", "qdisc", "add", "dev", "server0", "root", "netem"])
            try await SystemTool.run(["tc", "qdisc", "delete", "dev", "server0", "root"])
            return .netem
        } catch .impossible(let why) {
            throw .impossible(why)
        } catch {}
        let server = try await OwnThread.run("phones") { () throws(ServerFailure) in
            try openTUN("server1")
        }
        let phones = try await OwnThread.run("phones") { () throws(ServerFailure) in
            try enter(namespace)
            return try openTUN("phones1")
        }
        try await SystemTool.run(["ip", "link", "set", "server1", "up"])
        try await SystemTool.run(
            phonesPrefix(namespace) + ["ip", "link", "set", "phones1", "up"])
        return .relay(try PacketRelay(server: server, phones: phones))
    }

    /// Moves the calling thread, and so all connections that it makes from now on, to the devices.
    ///
    /// For threads of the traffic's own event loops: a thread that others use, too, would take their
    /// connections along.
    package func enter() throws(ServerFailure) {
        try Self.enter(namespace)
    }

    /// Makes the network one of phones until ``clear()``.
    func apply(_ profile: PhoneProfile) async throws(ServerFailure) {
        let profile = profile.shared(by: phones)
        switch trouble {
        case .netem:
            try await SystemTool.run(
                ["tc", "qdisc", "replace", "dev", "server0", "root", "netem"]
                    + profile.down.netemArguments)
            try await SystemTool.run(
                Self.phonesPrefix(namespace)
                    + ["tc", "qdisc", "replace", "dev", "phones0", "root", "netem"]
                    + profile.up.netemArguments)
        case .relay(let relay):
            relay.shape(
                up: LinkModel(profile.up, seed: seed),
                down: LinkModel(profile.down, seed: seed &+ 1))
            try await route(over: 1)
        }
    }

    /// A wire again.
    func clear() async throws(ServerFailure) {
        switch trouble {
        case .netem:
            try await SystemTool.run(["tc", "qdisc", "delete", "dev", "server0", "root"])
            try await SystemTool.run(
                Self.phonesPrefix(namespace)
                    + ["tc", "qdisc", "delete", "dev", "phones0", "root"])
        case .relay:
            try await route(over: 0)
        }
    }

    /// - Parameter device: 0 is the wire, 1 the relay.
    private func route(over device: Int) async throws(ServerFailure) {
        try await SystemTool.run([
            "ip", "route", "replace", Self.phonesAddress + "/32", "dev", "server\(device)", "src",
            Self.serverAddress,
        ])
        try await SystemTool.run(
            Self.phonesPrefix(namespace) + [
                "ip", "route", "replace", Self.serverAddress + "/32", "dev", "phones\(device)",
                "src", Self.phonesAddress,
            ])
    }

    // MARK: Calls of one thread

    private static func phonesPrefix(_ namespace: Int32) -> [String] {
        ["nsenter", "--net=/proc/\(getpid())/fd/\(namespace)", "--"]
    }

    private static func enter(_ namespace: Int32) throws(ServerFailure) {
        guard waybill_network_enter(namespace) == 0 else {
            throw .toolFailed("the devices' network cannot be entered (errno \(errno))")
        }
    }

    private static func openTUN(_ name: String) throws(ServerFailure) -> Int32 {
        let device = waybill_tun_open(name)
        guard device >= 0 else {
            throw .impossible(
                "phone networks need netem in the kernel (sch_netem) or /dev/net/tun (errno \(errno))"
            )
        }
        return device
    }
}
