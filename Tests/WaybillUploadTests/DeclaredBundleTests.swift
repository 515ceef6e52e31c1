import Testing
import WaybillModel
import WaybillQueue
import WaybillUpload

/// Bundles of many parts: declared, sent in any order, queued with the last part.
@Suite struct DeclaredBundleTests {
    private let bodies: [[UInt8]]

    init() throws {
        bodies = try [700, 5000, 900].map { try part(ofByteCount: $0) }
    }

    @Test(arguments: [[1, 2, 3], [3, 1, 2], [2, 3, 1]])
    func queuesTheBundleWithTheLastPartWhateverTheOrder(order: [Int]) async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        #expect(try await setup.declare(id, bodies).isNew)
        for (index, number) in order.enumerated() {
            let outcome = try await setup.put(bodies[number - 1], number, of: id)
            #expect(outcome.isNew)
            let isLast = index == 2
            #expect(outcome.standing.state == (isLast ? .queued : .receiving))
            #expect(setup.queue.messages.count == (isLast ? 1 : 0))
        }
        let message = try #require(setup.queue.messages.first)
        #expect(message.bundleDigest == .ofBundle(parts: bodies.map { .of($0) }))
        #expect(message.epoch == 3)
        for (content, body) in zip(message.parts, bodies) {
            let name = try #require(content.fileName)
            #expect(try readFile(setup.parts.path + "/" + name) == body)
            #expect(content.digest == .of(body) && content.byteCount == body.count)
        }
        #expect(setup.open.find(setup.key(id)) == nil)
        #expect(setup.intake.find(setup.key(id))?.state == .queued)
    }

    @Test func tellsWhatIsReceivedAndWhatIsComplete() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        try await setup.put(bodies[1], 2, of: id)
        let standing = try #require(setup.intake.find(setup.key(id)))
        #expect(standing.state == .receiving)
        #expect(
            standing.parts == [
                PartStanding(byteCount: 700, receivedByteCount: 0, isComplete: false),
                PartStanding(complete: 5000),
                PartStanding(byteCount: 900, receivedByteCount: 0, isComplete: false),
            ])
    }

    @Test func listsADevicesUnfinishedBundlesAndNobodyElses() async throws {
        let setup = try DeclaredSetup()
        let ids = [BundleID.random(), .random()]
        for id in ids { try await setup.declare(id, bodies) }
        let done = BundleID.random()
        try await setup.declare(done, [bodies[0]])
        try await setup.put(bodies[0], 1, of: done)
        #expect(setup.intake.unfinished(of: setup.device).map(\.id) == ids)
        #expect(setup.intake.unfinished(of: .random()).isEmpty)
        #expect(setup.intake.find(BundleKey(deviceID: .random(), bundleID: ids[0])) == nil)
    }

    @Test(arguments: [0, -1, 4, 1001])
    func knowsNoPartThatWasNotDeclared(number: Int) async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        #expect(
            try await failure { try await setup.put(bodies[0], number, of: id) }
                == "not_declared")
    }

    @Test func keepsNothingOfAPartWithAnotherDigestThanDeclared() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        let other = try part(ofByteCount: 700, fill: 7)
        #expect(
            try await failure { try await setup.put(other, 1, of: id) } == "digest_mismatch")
        #expect(try setup.parts.names().isEmpty)
        #expect(setup.open.find(setup.key(id))?.standing.parts[0].receivedByteCount == 0)
        try await setup.put(bodies[0], 1, of: id)
        #expect(try setup.parts.names().count == 1)
    }

    @Test func keepsNothingWhenADigestInTheHeaderDoesNotMatch() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        let wrong = ExpectedDigest(algorithm: .sha512, bytes: [UInt8](repeating: 0, count: 64))
        #expect(
            try await failure { try await setup.put(bodies[0], 1, of: id, expecting: [wrong]) }
                == "digest_mismatch")
        #expect(try setup.parts.names().isEmpty)
    }

    @Test func refusesAPartOfAnotherSizeThanDeclared() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        let long = bodies[0] + [0]
        let short = Array(bodies[0].dropLast())
        for (bytes, announced, code) in [
            (long, long.count, "past_declared"), (long, nil, "past_declared"),
            (short, short.count, "short_of_declared"), (short, nil, "digest_mismatch"),
        ] as [([UInt8], Int?, String)] {
            #expect(
                try await failure { try await setup.put(bytes, 1, of: id, announced: announced) }
                    == code)
        }
        #expect(try setup.parts.names().isEmpty)
    }

    @Test func refusesABrokenArchiveAtOnceAndKeepsNothingOfIt() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        let broken = Array(bodies[1].dropLast(3))
        try await setup.declare(id, [bodies[0], broken])
        #expect(
            try await failure { try await setup.put(broken, 2, of: id) }?.hasPrefix("archive_")
                == true)
        #expect(try setup.parts.names().isEmpty)
        #expect(setup.open.find(setup.key(id))?.isComplete == false)
    }

    @Test func oneOfTwoConcurrentSendersOfAPartWinsAndNoByteIsMixed() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        let key = setup.key(id)
        let first = try await setup.intake.beginPart(2, of: key, announced: nil, expecting: [])
        let second = try await setup.intake.beginPart(2, of: key, announced: nil, expecting: [])
        for start in stride(from: 0, to: 5000, by: 500) {
            let piece = Array(bodies[1][start..<start + 500])
            try await first.append(piece)
            try await second.append(piece)
        }
        #expect(try await setup.intake.completePart(second, 2, of: key).isNew)
        #expect(try await setup.intake.completePart(first, 2, of: key).isNew == false)
        let names = try setup.parts.names()
        #expect(names.count == 1)
        #expect(try readFile(setup.parts.path + "/" + (names.first ?? "")) == bodies[1])
    }

    @Test func concurrentLastPartsQueueTheBundleOnce() async throws {
        let setup = try DeclaredSetup()
        for _ in 0..<20 {
            let id = BundleID.random()
            try await setup.declare(id, bodies)
            let before = setup.queue.messages.count
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in [1, 2, 3, 3, 2, 1] {
                    let body = bodies[number - 1]
                    group.addTask { try await setup.put(body, number, of: id) }
                }
                try await group.waitForAll()
            }
            #expect(setup.queue.messages.count == before + 1)
        }
        #expect(try setup.parts.names().count == 60)
    }

    @Test func aBundleGivenUpWhileAPartComesKeepsNothingOfThePart() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.running {
            try await setup.declare(id, bodies)
            try await setup.put(bodies[2], 3, of: id)
            let receiver = try await setup.intake.beginPart(
                1, of: setup.key(id), announced: nil, expecting: [])
            try await receiver.append(bodies[0])
            #expect(try await setup.intake.giveUp(setup.key(id)))
            #expect(
                try await failure {
                    _ = try await setup.intake.completePart(receiver, 1, of: setup.key(id))
                } == "not_declared")
        }
        #expect(try setup.parts.names().isEmpty)
    }

    @Test func aLastPartThatTheQueueRefusesIsKeptAndTriedAgain() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, [bodies[0]])
        setup.queue.fail(with: .diskFull)
        #expect(
            try await failure { try await setup.put(bodies[0], 1, of: id) } == "queue_disk_full")
        #expect(setup.open.find(setup.key(id))?.isComplete == true)
        #expect(
            try await failure { _ = try await setup.intake.giveUp(setup.key(id)) }
                == "already_complete")
        setup.queue.fail(with: nil)
        let outcome = try await setup.put(bodies[0], 1, of: id)
        #expect(outcome.standing.state == .queued)
        #expect(setup.queue.messages.count == 1)
    }
}
