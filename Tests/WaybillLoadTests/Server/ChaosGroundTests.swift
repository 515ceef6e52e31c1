import Foundation
import Testing

@testable import WaybillLoad

@Suite struct ChaosGroundTests {
    private func ground(_ actions: LoadPlan.ChaosStep.Action...) -> ChaosGround {
        ChaosGround(actions.map { LoadPlan.ChaosStep(atSeconds: 0, action: $0) })
    }

    @Test func mostChaosNeedsNothing() throws {
        let plain = ground(.killServer, .restartServer, .killPostgres, .scale)
        #expect(!plain.needsDisk && !plain.needsNetwork)
        try plain.check(database: nil, isRoot: false) { _ in false }
    }

    @Test func diskAndNetworkNeedRootAndPrograms() throws {
        for ground in [ground(.fillDisk), ground(.edge), ground(.lossy), ground(.tunnel)] {
            #expect(throws: ServerFailure.self) {
                try ground.check(database: nil, isRoot: false) { _ in true }
            }
            #expect(throws: ServerFailure.self) {
                try ground.check(database: nil, isRoot: true) { $0 != "unshare" }
            }
            try ground.check(database: nil, isRoot: true) { _ in true }
        }
        for program in ["ip", "tc", "openssl"] {
            #expect(throws: ServerFailure.self) {
                try ground(.edge).check(database: nil, isRoot: true) { $0 != program }
            }
            try ground(.fillDisk).check(database: nil, isRoot: true) { $0 != program }
        }
    }

    @Test func fromANetworkOfItsOwnOnlySocketsOfTheMachineAreReached() throws {
        let far = "postgresql://waybill@127.0.0.1/waybill"
        #expect(throws: ServerFailure.self) {
            try ground(.edge).check(database: far, isRoot: true) { _ in true }
        }
        try ground(.fillDisk).check(database: far, isRoot: true) { _ in true }
        for near in [
            "postgresql://waybill@/waybill?host=/tmp/x", "host='/tmp/x' dbname=waybill",
            "postgresql://%2Ftmp%2Fx/waybill",
        ] {
            try ground(.edge).check(database: near, isRoot: true) { _ in true }
        }
    }
}

@Suite struct FixedPortTests {
    @Test func portsAreBelowThoseOfConnectionsAndFree() throws {
        let range = try String(
            contentsOfFile: "/proc/sys/net/ipv4/ip_local_port_range", encoding: .utf8)
        let word = try #require(range.split(whereSeparator: \.isWhitespace).first)
        let first = try #require(Int(word))
        let port = try FixedPort.choose()
        #expect(port < first)
        #expect(FixedPort.isFree(host: "127.0.0.1", port: port))
    }

    @Test func aPortThatSomebodyListensOnIsNotFree() throws {
        let port = try FixedPort.choose()
        let listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listening) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        #expect(inet_pton(AF_INET, "127.0.0.1", &address.sin_addr) == 1)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listening, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        #expect(status == 0)
        #expect(!FixedPort.isFree(host: "127.0.0.1", port: port))
    }
}
