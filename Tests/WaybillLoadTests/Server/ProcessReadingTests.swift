import Foundation
import Testing

@testable import WaybillLoad

@Suite struct ProcessReadingTests {
    /// The manual's fields 3 to 24, with a name that tries to look like the end of the name.
    private func line(
        number: Int32 = 42, name: String = "a) R 9 (b", user: Int = 150, system: Int = 50,
        childUser: Int = 0, childSystem: Int = 0, start: Int = 77
    ) -> String {
        "\(number) (\(name)) S 7 42 42 0 -1 4194560 100 200 0 0 \(user) \(system) \(childUser) "
            + "\(childSystem) 20 0 3 0 \(start) 1000000 25 18446744073709551615 1 1"
    }

    private func reading(_ text: String) -> ProcessReading? {
        ProcessReading(text, ticksPerSecond: 100, pageBytes: 4096)
    }

    @Test func readsWhatTheKernelWrites() throws {
        let found = try #require(reading(line(childUser: 30, childSystem: 20)))
        #expect(found.processID == 42)
        #expect(found.parentID == 7)
        #expect(found.state == "S")
        #expect(found.startTicks == 77)
        #expect(found.cpuSeconds == 2)
        #expect(found.childrenCPUSeconds == 0.5)
        #expect(found.residentBytes == 25 * 4096)
    }

    @Test func everyCutIsNoReading() {
        let text = line()
        let needed = text.range(of: " 25 ")?.lowerBound ?? text.endIndex
        for end in text.indices where end < needed {
            #expect(reading(String(text[..<end])) == nil)
        }
    }

    @Test func thisProcessIsInTheTable() throws {
        let own = try #require(ProcessTable().process(getpid()))
        #expect(own.residentBytes > 1 << 20)
        #expect(ProcessTable().children(of: getppid()).contains { $0.processID == getpid() })
    }

    private struct Table: ProcessSource {
        var processes: [ProcessReading]

        func process(_ processID: Int32) -> ProcessReading? {
            processes.first { $0.processID == processID }
        }

        func children(of processID: Int32) -> [ProcessReading] {
            processes.filter { $0.parentID == processID }
        }
    }

    @Test func aServersLivesAreAddedUp() throws {
        let first = try #require(reading(line(user: 300, system: 0)))
        let second = try #require(reading(line(user: 100, system: 0, start: 99)))
        var meter = UsageMeter()
        #expect(meter.look(at: 42, database: nil, in: Table(processes: [first])).cpuSeconds == 3)
        let between = meter.look(at: nil, database: nil, in: Table(processes: []))
        #expect(between.cpuSeconds == 3 && between.residentBytes == 0)
        // The same number, another process.
        #expect(meter.look(at: 42, database: nil, in: Table(processes: [second])).cpuSeconds == 4)
    }

    @Test func aDatabaseIsAllOfItsProcessesThoseThatHaveEndedToo() throws {
        var child = try #require(reading(line(number: 43, user: 100, system: 0)))
        child.parentID = 42
        let parent = try #require(reading(line(user: 100, system: 0, childUser: 200)))
        var meter = UsageMeter()
        let all = Table(processes: [parent, child])
        #expect(meter.look(at: nil, database: 42, in: all).databaseCPUSeconds == 4)
        // A child that has just ended is in nobody's account: the sum never falls.
        let fewer = Table(processes: [parent])
        #expect(meter.look(at: nil, database: 42, in: fewer).databaseCPUSeconds == 4)
    }
}
