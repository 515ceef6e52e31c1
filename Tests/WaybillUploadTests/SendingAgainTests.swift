import Testing
import WaybillModel
import WaybillQueue
import WaybillUpload

/// CONTRACT.md, "Sending again": the rows are states, the columns same bytes, other bytes, DELETE.
@Suite struct SendingAgainTests {
    private let bodies: [[UInt8]]
    private let others: [[UInt8]]

    init() throws {
        bodies = try [700, 900].map { try part(ofByteCount: $0) }
        others = try [700, 900].map { try part(ofByteCount: $0, fill: 7) }
    }

    private static let received: [BundleState] = [.queued, .processing, .settled, .quarantined]

    // MARK: none, expired, lost

    @Test func noneSameBytesAsNew() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        #expect(try await setup.declare(id, bodies).isNew)
        #expect(try await setup.post(bodies[0], .random()).isNew)
    }

    @Test func noneDeleteIsNotThere() async throws {
        let setup = try DeclaredSetup()
        #expect(try await setup.intake.giveUp(setup.key(.random())) == false)
    }

    @Test func nonePartIsNotDeclared() async throws {
        let setup = try DeclaredSetup()
        try await setup.running {
            let code = try await failure { try await setup.put(bodies[0], 1, of: .random()) }
            #expect(code == "not_declared")
        }
    }

    @Test func aPartOfABundleThatOnlyTheDatabaseCouldKnowWaitsForIt() async throws {
        let setup = try DeclaredSetup()
        // Nobody runs the history: no answer comes from it.
        #expect(
            try await failure { try await setup.put(bodies[0], 1, of: .random()) }
                == "history_unavailable")
    }

    @Test func expiredSameAndOtherBytesAsNew() async throws {
        for wanted in [bodies, others] {
            let setup = try DeclaredSetup()
            let id = BundleID.random()
            try await setup.declare(id, bodies)
            try await setup.put(bodies[0], 1, of: id)
            await setup.intake.sweep(at: Timestamp.now.advanced(by: .seconds(31 * 86400)))
            #expect(await setup.intake.expired(setup.key(id))?.state == .expired)
            #expect(try await setup.intake.giveUp(setup.key(id)) == false)
            #expect(try await setup.declare(id, wanted).isNew)
            for (index, body) in wanted.enumerated() {
                #expect(try await setup.put(body, index + 1, of: id).isNew)
            }
            #expect(setup.queue.messages.count == 1)
        }
    }

    @Test func expiredOnePartBundleAsNew() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, [bodies[0]])
        await setup.intake.sweep(at: Timestamp.now.advanced(by: .seconds(31 * 86400)))
        #expect(try await setup.post(others[0], id).isNew)
    }

    @Test func lostSameAndOtherBytesAsNew() async throws {
        for wanted in [bodies, others] {
            let setup = try DeclaredSetup()
            let id = BundleID.random()
            setup.note(.lost, id, bodies)
            #expect(setup.intake.find(setup.key(id))?.state == .lost)
            #expect(try await setup.intake.giveUp(setup.key(id)) == false)
            #expect(try await setup.declare(id, wanted).isNew)
            #expect(setup.intake.find(setup.key(id))?.state == .receiving)
            #expect(try await setup.put(wanted[0], 1, of: id).isNew)
        }
    }

    @Test func lostOnePartBundleAsNew() async throws {
        for wanted in [bodies[0], others[0]] {
            let setup = try DeclaredSetup()
            let id = BundleID.random()
            setup.note(.lost, id, [bodies[0]])
            #expect(try await setup.post(wanted, id).isNew)
            #expect(setup.queue.messages.count == 1)
        }
    }

    @Test func whatIsGivenUpAfterItHadExpiredBeforeIsForgotten() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        await setup.intake.sweep(at: Timestamp.now.advanced(by: .seconds(31 * 86400)))
        try await setup.declare(id, others)
        #expect(try await setup.intake.giveUp(setup.key(id)))
        #expect(await setup.intake.expired(setup.key(id)) == nil)
    }

    // MARK: receiving

    @Test func receivingSameDeclarationTellsWhatIsThere() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        try await setup.put(bodies[1], 2, of: id)
        let again = try await setup.declare(id, bodies)
        #expect(again.isNew == false)
        #expect(again.standing.state == .receiving)
        #expect(again.standing.parts.map(\.isComplete) == [false, true])
    }

    @Test func receivingSameWholePartIsThere() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        try await setup.put(bodies[1], 2, of: id)
        for announced in [nil, bodies[1].count] {
            let again = try await setup.put(bodies[1], 2, of: id, announced: announced)
            #expect(again.isNew == false)
            #expect(again.standing.parts.map(\.isComplete) == [false, true])
        }
        #expect(try setup.parts.names().count == 1)
    }

    @Test func receivingOtherDeclarationIsAConflict() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        for other in [others, [bodies[0]], bodies + bodies, bodies.reversed()] {
            #expect(
                try await failure { try await setup.declare(id, other) } == "idempotency_conflict"
            )
        }
        #expect(setup.open.find(setup.key(id))?.declaration.parts.count == 2)
    }

    @Test func receivingOtherBytesOfACompletePartAreAConflict() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        try await setup.put(bodies[0], 1, of: id)
        for other in [others[0], bodies[0] + [1], Array(bodies[0].dropLast())] {
            for announced in [nil, other.count] {
                #expect(
                    try await failure {
                        try await setup.put(other, 1, of: id, announced: announced)
                    } == "idempotency_conflict")
            }
        }
    }

    @Test func receivingDeletedIsForgottenAndMayBeBegunAgain() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        try await setup.put(bodies[0], 1, of: id)
        #expect(try await setup.intake.giveUp(setup.key(id)))
        #expect(setup.intake.find(setup.key(id)) == nil)
        #expect(try setup.parts.names().isEmpty)
        #expect(try setup.restarted().intake.find(setup.key(id)) == nil)
        #expect(try await setup.intake.giveUp(setup.key(id)) == false)
        #expect(try await setup.declare(id, others).isNew)
    }

    @Test func receivingOnePartSentInOneRequestCompletesTheDeclaredBundle() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, [bodies[0]])
        #expect(
            try await failure { try await setup.post(others[0], id) } == "idempotency_conflict")
        #expect(try await setup.post(bodies[0], id).isNew)
        #expect(setup.intake.unfinished(of: setup.device).isEmpty)
        #expect(setup.queue.messages.first?.epoch == 3)
        #expect(try await setup.post(bodies[0], id).isNew == false)
        #expect(try await setup.put(bodies[0], 1, of: id).isNew == false)
    }

    @Test func receivingManyPartsAreNotABundleOfOne() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        #expect(
            try await failure { try await setup.post(bodies[0], id) } == "idempotency_conflict")
        #expect(setup.queue.messages.isEmpty)
    }

    // MARK: queued, processing, settled, quarantined

    @Test(arguments: received)
    func receivedSameDeclarationOrPartTellsTheStatus(state: BundleState) async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        for (index, body) in bodies.enumerated() { try await setup.put(body, index + 1, of: id) }
        setup.note(state, id, bodies)
        let files = try setup.parts.names().sorted()
        #expect(try await setup.declare(id, bodies).standing.state == state)
        for (index, body) in bodies.enumerated() {
            let again = try await setup.put(body, index + 1, of: id)
            #expect(again.isNew == false && again.standing.state == state)
        }
        #expect(setup.queue.messages.count == 1)
        #expect(try setup.parts.names().sorted() == files)
    }

    @Test(arguments: received)
    func receivedOtherBytesAreAConflict(state: BundleState) async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.declare(id, bodies)
        for (index, body) in bodies.enumerated() { try await setup.put(body, index + 1, of: id) }
        setup.note(state, id, bodies)
        let conflict = "idempotency_conflict"
        #expect(try await failure { try await setup.declare(id, others) } == conflict)
        #expect(try await failure { try await setup.declare(id, [bodies[0]]) } == conflict)
        #expect(try await failure { try await setup.put(others[0], 1, of: id) } == conflict)
        #expect(try await failure { try await setup.put(bodies[0], 2, of: id) } == conflict)
        #expect(try await failure { try await setup.put(bodies[0], 3, of: id) } == "not_declared")
        #expect(try await failure { try await setup.post(bodies[0], id) } == conflict)
    }

    @Test(arguments: received)
    func receivedOnePartIsTheSameHoweverItWasSent(state: BundleState) async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        try await setup.post(bodies[0], id)
        setup.note(state, id, [bodies[0]])
        if [.settled, .quarantined].contains(state) {
            setup.history.note(
                setup.key(id),
                BundleStanding(
                    state: state, bundleDigest: .ofBundle(parts: [.of(bodies[0])]),
                    partByteCounts: [bodies[0].count], receipt: "{}"))
        }
        try await setup.running {
            let posted = try await setup.post(bodies[0], id).standing.state
            let declared = try await setup.declare(id, [bodies[0]]).standing.state
            let put = try await setup.put(bodies[0], 1, of: id).standing.state
            #expect([posted, declared, put] == [state, state, state])
        }
        let conflict = "idempotency_conflict"
        #expect(try await failure { try await setup.post(others[0], id) } == conflict)
        #expect(try await failure { try await setup.declare(id, [others[0]]) } == conflict)
        #expect(try await failure { try await setup.declare(id, bodies) } == conflict)
        #expect(try await failure { try await setup.put(others[0], 1, of: id) } == conflict)
        #expect(setup.intake.unfinished(of: setup.device).isEmpty)
    }

    @Test(arguments: received)
    func receivedCannotBeGivenUp(state: BundleState) async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        setup.note(state, id, bodies)
        #expect(try await setup.intake.giveUp(setup.key(id)) == false)
        #expect(setup.intake.find(setup.key(id))?.state == state)
    }

    @Test func settledWithoutAReceiptInTheRestoredDatabaseIsTakenAsNew() async throws {
        for state in [BundleState.settled, .quarantined] {
            let setup = try DeclaredSetup()
            let (one, many, part) = (BundleID.random(), BundleID.random(), BundleID.random())
            setup.note(state, one, [bodies[0]])
            setup.note(state, many, bodies)
            setup.note(state, part, bodies)
            // Nobody runs the history yet: the receipt cannot be shown, and settling resolves it.
            let code = try await failure { try await setup.post(others[0], one) }
            #expect(code == "idempotency_conflict")
            #expect(try await setup.post(bodies[0], one).isNew)
            setup.note(state, one, [bodies[0]])
            try await setup.running {
                #expect(try await setup.post(bodies[0], one).isNew)
                #expect(try await setup.declare(many, bodies).isNew)
                let code = try await failure { try await setup.put(bodies[0], 1, of: part) }
                #expect(code == "not_declared")
            }
        }
    }

    @Test func settledLongAgoIsFoundInTheDatabase() async throws {
        let setup = try DeclaredSetup()
        let id = BundleID.random()
        setup.history.note(
            setup.key(id),
            BundleStanding(
                state: .settled, bundleDigest: .ofBundle(parts: bodies.map { .of($0) }),
                partByteCounts: bodies.map(\.count), receipt: #"{"seq":1}"#))
        try await setup.running {
            #expect(try await setup.declare(id, bodies).standing.receipt == #"{"seq":1}"#)
            let again = try await setup.put(bodies[1], 2, of: id)
            #expect(again.standing.receipt == #"{"seq":1}"#)
            let conflict = "idempotency_conflict"
            #expect(try await failure { try await setup.declare(id, others) } == conflict)
            #expect(
                try await failure { try await setup.put(bodies[0], 2, of: id) } == conflict)
        }
        #expect(setup.queue.messages.isEmpty)
    }

    @Test func aSettledDeclarationIsTakenAgainWhileTheDatabaseIsAway() async throws {
        let setup = try DeclaredSetup()
        setup.history.fail()
        #expect(try await setup.declare(.random(), bodies).isNew)
    }
}
