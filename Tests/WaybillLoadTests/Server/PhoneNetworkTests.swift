import Testing

@testable import WaybillLoad

@Suite struct PhoneNetworkTests {
    private let second: Int64 = 1_000_000_000

    private final class Link {
        private var model: LinkModel

        init(_ shape: LinkShape, seed: UInt64) {
            model = LinkModel(shape, seed: seed)
        }

        func admit(bytes: Int, at now: Int64) -> Int64? { model.admit(bytes: bytes, at: now) }
    }

    private final class Queue {
        private var queue = PacketQueue()
        var isEmpty: Bool { queue.isEmpty }
        var nextOut: Int64? { queue.nextOut }

        func add(_ bytes: [UInt8], out: Int64) { queue.add(bytes, out: out) }
        func take(at now: Int64) -> [UInt8]? { queue.take(at: now) }
    }

    @Test func figuresBecomeArgumentsOfNetem() {
        #expect(
            PhoneProfile.edge.up.netemArguments.joined(separator: " ")
                == "limit 10000 delay 440ms 100ms 25% rate 200000bit")
        #expect(
            PhoneProfile.lossy.down.netemArguments.joined(separator: " ")
                == "limit 10000 delay 100ms 30ms 25% loss gemodel 0.773% 25.0% reorder 1.0% 50% "
                + "rate 780000bit")
        #expect(PhoneProfile.tunnel.up.netemArguments == ["limit", "10000", "loss", "100%"])
    }

    @Test func everyNetworkActionHasAProfile() {
        for action in LoadPlan.ChaosStep.Action.allCases {
            #expect((PhoneProfile(action) != nil) == action.isNetwork)
        }
    }

    @Test func eachPhoneHasItsOwnRate() {
        let shared = PhoneProfile.edge.shared(by: 32)
        #expect(shared.up.rate == 6_400_000)
        #expect(shared.up.delay == PhoneProfile.edge.up.delay)
        #expect(PhoneProfile.tunnel.shared(by: 32) == PhoneProfile.tunnel)
    }

    @Test func aWireDelaysNothing() {
        let model = Link(LinkShape(), seed: 1)
        for now in Int64(1)...100 { #expect(model.admit(bytes: 1500, at: now) == now) }
    }

    @Test func delayVariesWithinItsJitterAndKeepsTheOrder() throws {
        let model = Link(LinkShape(delay: 0.4, jitter: 0.1), seed: 2)
        var last: Int64 = 0
        var delays: Set<Int64> = []
        for packet in Int64(0)..<1000 {
            let now = packet * second
            let out = try #require(model.admit(bytes: 100, at: now))
            #expect((now + second * 3 / 10...now + second / 2).contains(out))
            #expect(out >= last)
            last = out
            delays.insert(out - now)
        }
        #expect(delays.count > 900)
    }

    @Test func packetsWaitForTheWireAndTheBufferEnds() {
        // 1000 bytes a second.
        let model = Link(LinkShape(rate: 8000), seed: 3)
        #expect(model.admit(bytes: 1000, at: 0) == second)
        #expect(model.admit(bytes: 1000, at: 0) == 2 * second)
        #expect(model.admit(bytes: 1000, at: 0) == 3 * second)
        #expect(model.admit(bytes: 1000, at: 0) == nil)
        // One second later there is room for one more.
        #expect(model.admit(bytes: 1000, at: second) == 4 * second)
        #expect(model.admit(bytes: 1000, at: second) == nil)
    }

    @Test func lossesHaveTheirShareAndComeInBursts() {
        let model = Link(LinkShape(loss: .bursts(share: 0.03, length: 4)), seed: 4)
        let count = 200_000
        let lost = (0..<count).map { model.admit(bytes: 100, at: Int64($0)) == nil }
        let losses = lost.count { $0 }
        let bursts = zip([false] + lost, lost).count { !$0 && $1 }
        #expect((0.025...0.035).contains(Double(losses) / Double(count)))
        #expect((3.5...4.5).contains(Double(losses) / Double(bursts)))
    }

    @Test func nothingGetsThroughATunnel() {
        let model = Link(PhoneProfile.tunnel.up, seed: 5)
        #expect((0..<1000).allSatisfy { model.admit(bytes: 40, at: Int64($0)) == nil })
    }

    @Test func someOvertakeTheOthers() {
        let model = Link(LinkShape(delay: 0.1, reordered: 0.01), seed: 6)
        let count = 100_000
        let early = (0..<count).count { model.admit(bytes: 100, at: Int64($0)) == Int64($0) }
        #expect((0.008...0.012).contains(Double(early) / Double(count)))
    }

    @Test func theSameSeedDecidesTheSame() {
        let first = Link(PhoneProfile.lossy.up, seed: 7)
        let second = Link(PhoneProfile.lossy.up, seed: 7)
        for now in Int64(0)..<1000 {
            #expect(
                first.admit(bytes: 500, at: now * 10_000_000)
                    == second.admit(bytes: 500, at: now * 10_000_000))
        }
    }

    @Test func packetsComeOutByTimeAndThenInTurn() {
        let queue = Queue()
        var generator = SeededGenerator(seed: 8)
        let packets = (0..<500).map { number in
            (out: Int64(generator.next() % 50), bytes: [UInt8(number & 255), UInt8(number >> 8)])
        }
        for packet in packets { queue.add(packet.bytes, out: packet.out) }
        #expect(queue.take(at: -1) == nil)
        let sorted = packets.enumerated().sorted {
            ($0.element.out, $0.offset) < ($1.element.out, $1.offset)
        }
        for packet in sorted {
            #expect(queue.nextOut == packet.element.out)
            #expect(queue.take(at: packet.element.out) == packet.element.bytes)
        }
        #expect(queue.isEmpty && queue.nextOut == nil)
    }
}
