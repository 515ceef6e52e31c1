import Testing
import WaybillThreads

@testable import WaybillListener

/// A pool and a queue in fast motion: what an autoscaler does to them, second by second.
private struct Workshop {
    var scaler: Autoscaler
    var second = 0
    var waiting = 0.0
    var settled = 0.0
    var targets: [Int] = []
    /// Bundles a second that one listener settles, and all of them together at most.
    var speed = 100.0
    var ceiling = Double.infinity
    /// Devices with work: no more listeners than these find any.
    var devices = Int.max

    init(_ range: ClosedRange<Int>, target: Int) {
        scaler = Autoscaler(range: range, target: target, at: Deadline(nanoseconds: 0))
    }

    mutating func run(seconds: Int, arriving: Double) {
        for _ in 0..<seconds {
            second += 1
            waiting += arriving
            let target = Double(min(scaler.target, devices))
            let done = min(waiting, target * speed, ceiling)
            let busy =
                waiting >= done && done > 0 && waiting > 0.5
                ? (waiting > done ? Int(target) : Int((done / speed).rounded(.up))) : 0
            waiting -= done
            settled += done
            let time = Deadline(nanoseconds: UInt64(second) * 1_000_000_000)
            targets.append(
                scaler.decide(
                    Autoscaler.Sample(
                        time: time, waiting: Int(waiting), busy: busy, settled: Int(settled))))
        }
    }
}

@Suite struct AutoscalerTests {
    @Test func raisesFastWhileWorkWaitsAndStopsAtTheTop() {
        var shop = Workshop(1...48, target: 1)
        shop.waiting = 1_000_000
        shop.run(seconds: 30, arriving: 0)
        #expect(shop.targets.last == 48)
        #expect(zip(shop.targets, shop.targets.dropFirst()).allSatisfy { $0 <= $1 })
        shop.run(seconds: 60, arriving: 10_000)
        #expect(shop.targets.allSatisfy { (1...48).contains($0) })
    }

    @Test func lowersSlowlyOnceThereIsLessToDo() {
        var shop = Workshop(2...64, target: 64)
        shop.run(seconds: 29, arriving: 0)
        #expect(shop.scaler.target == 64)
        shop.run(seconds: 2, arriving: 0)
        #expect(shop.scaler.target == 48)
        shop.run(seconds: 600, arriving: 0)
        #expect(shop.scaler.target == 2)
        let steps = zip(shop.targets, shop.targets.dropFirst()).map { $0 - $1 }
        #expect(steps.allSatisfy { (0...16).contains($0) })
    }

    @Test func keepsAsManyAsAreBusy() {
        var shop = Workshop(1...64, target: 32)
        // Ten at work, nothing waits.
        shop.run(seconds: 900, arriving: 1000)
        #expect(shop.scaler.target == 10)
        let late = Set(shop.targets.suffix(300))
        #expect(late == [10], "it swings: \(late)")
    }

    @Test func endsTheLastOneOnlyWhereTheRangeAllowsIt() {
        var shop = Workshop(1...8, target: 8)
        shop.run(seconds: 3600, arriving: 0)
        #expect(shop.scaler.target == 1)
        var lazy = Workshop(0...8, target: 8)
        lazy.run(seconds: 3600, arriving: 0)
        #expect(lazy.scaler.target == 0)
        #expect(lazy.targets.filter { $0 == 1 }.count >= 60)
        lazy.run(seconds: 1, arriving: 1)
        #expect(lazy.scaler.target == 1)
    }

    @Test func aTrickleDoesNotSwitchTheLastOneOffAndOn() {
        var shop = Workshop(0...8, target: 1)
        for _ in 0..<100 {
            shop.run(seconds: 1, arriving: 1)
            shop.run(seconds: 19, arriving: 0)
        }
        #expect(Set(shop.targets) == [1])
    }

    @Test func takesBackARaiseThatBringsNothing() {
        var shop = Workshop(1...64, target: 1)
        shop.waiting = 10_000_000
        shop.ceiling = 400
        shop.run(seconds: 1800, arriving: 400)
        // Four do what the database can take; more are tried now and then, ever more seldom.
        let late = shop.targets.suffix(900)
        #expect(late.allSatisfy { $0 == 4 || $0 == 8 })
        #expect(late.filter { $0 == 8 }.count < 30)
    }

    @Test func addsNobodyWhileNothingIsSettled() {
        var shop = Workshop(1...64, target: 2)
        shop.speed = 0.000_001
        shop.waiting = 1000
        shop.run(seconds: 600, arriving: 10)
        #expect(shop.scaler.target <= 2)
    }

    @Test func idleListenersAreNoReasonForMore() {
        var shop = Workshop(1...64, target: 4)
        shop.waiting = 100_000
        shop.devices = 2
        shop.run(seconds: 120, arriving: 1000)
        #expect(shop.targets.allSatisfy { $0 <= 4 })
        #expect(shop.scaler.target == 2)
    }

    @Test func beginsWithinItsRange() {
        let time = Deadline(nanoseconds: 0)
        #expect(Autoscaler(range: 2...4, target: 0, at: time).target == 2)
        #expect(Autoscaler(range: 2...4, target: 99, at: time).target == 4)
        #expect(Autoscaler(range: 2...4, target: 3, at: time).target == 3)
    }

    @Test func whateverItSeesItStaysWithinItsRange() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let low = Int.random(in: 0...8, using: &generator)
            let high = Int.random(in: max(1, low)...64, using: &generator)
            var scaler = Autoscaler(
                range: low...high, target: 5, at: Deadline(nanoseconds: 0))
            var settled = 0
            for second in 1...300 {
                settled += Int.random(in: 0...1000, using: &generator)
                let sample = Autoscaler.Sample(
                    time: Deadline(nanoseconds: UInt64(second) * 1_000_000_000),
                    waiting: Int.random(in: 0...2, using: &generator) * 100,
                    oldestAge: .seconds(Int.random(in: 0...100, using: &generator)),
                    busy: Int.random(in: 0...70, using: &generator), settled: settled)
                #expect((low...high).contains(scaler.decide(sample)))
            }
        }
    }
}
