import Testing
import WaybillModel
import WaybillQueue

@testable import WaybillUpload

/// Parts whose bytes come in several requests.
@Suite struct ResumableUploadTests {
    private let setup: DeclaredSetup
    private let body: [UInt8]
    private let id = BundleID.random()

    init() throws {
        setup = try DeclaredSetup()
        body = try part(ofByteCount: 9000)
    }

    @Test func aPartInPiecesIsQueuedWithItsLastByte() async throws {
        let upload = try await setup.begin(id)
        #expect(setup.intake.find(setup.key(id))?.state == .receiving)
        try await setup.append(body[..<2500], to: upload, at: 0)
        #expect(try await setup.offset(of: upload) == 2500)
        #expect(setup.queue.messages.isEmpty)
        let end = try await setup.append(body[2500...], to: upload, at: 2500, isLast: true)
        #expect(end.state == .queued)
        #expect(setup.queue.messages.map(\.bundleDigest) == [.ofBundle(parts: [.of(body)])])
        #expect(try setup.parts.names().count == 1)
        #expect(try await setup.intake.upload(upload, of: setup.device).isComplete)
    }

    @Test func theLengthSaysWhichByteIsTheLast() async throws {
        let upload = try await setup.begin(id, byteCount: body.count)
        #expect(try await setup.append(body[..<9], to: upload, at: 0, isLast: nil).state == nil)
        let end = try await setup.append(body[9...], to: upload, at: 9, isLast: nil)
        #expect(end.state == .queued)
    }

    @Test func aBodyThatIsCutOffKeepsWhatCame() async throws {
        let upload = try await setup.begin(id)
        let append = try await setup.intake.append(
            to: upload, of: setup.device, UploadAppend.Terms(offset: 0, isLast: true), cut: nil)
        try await setup.write(body[..<4000], append)
        await append.abandon()
        #expect(try await setup.offset(of: upload) == 4000)
        let end = try await setup.append(body[4000...], to: upload, at: 4000, isLast: true)
        #expect(end.state == .queued)
    }

    @Test(arguments: [0, 2499, 2501, 9000])
    func aWrongOffsetChangesNothing(offset: Int) async throws {
        let upload = try await setup.begin(id)
        try await setup.append(body[..<2500], to: upload, at: 0)
        let error = try await failure {
            try await setup.append(body[2500...], to: upload, at: offset, isLast: true)
        }
        #expect(error == "offset_mismatch")
        #expect(try await setup.offset(of: upload) == 2500)
    }

    @Test func whatIsBeyondTheLengthIsRefusedAndTheRestStays() async throws {
        let upload = try await setup.begin(id, byteCount: body.count)
        let error = try await failure {
            try await setup.append(body + [1], to: upload, at: 0, isLast: nil)
        }
        #expect(error == "past_declared")
        #expect(try await setup.offset(of: upload) == 0)
        let append = try await setup.intake.append(
            to: upload, of: setup.device, UploadAppend.Terms(offset: 0), cut: nil)
        try await setup.write(body, append)
        #expect(try await failure { _ = try await append.write([1]) } == "past_declared")
        await append.abandon()
        #expect(try await setup.offset(of: upload) == body.count)
        #expect(
            try await setup.append([], to: upload, at: body.count, isLast: nil).state == .queued)
    }

    @Test func lengthsThatContradictEachOtherAreRefused() async throws {
        let upload = try await setup.begin(id, byteCount: body.count)
        #expect(
            try await failure {
                try await setup.append(body[..<9], to: upload, at: 0, isLast: true)
            } == "length_mismatch")
        #expect(
            try await failure {
                try await setup.append(body[..<9], to: upload, at: 0, byteCount: 8999)
            } == "length_mismatch")
        #expect(try await setup.offset(of: upload) == 0)
    }

    @Test func aWrongDigestTakesThatAppendBackAlone() async throws {
        let upload = try await setup.begin(id)
        try await setup.append(body[..<3000], to: upload, at: 0)
        let wrong = ExpectedDigest(algorithm: .sha1, bytes: Array(repeating: 0, count: 20))
        let error = try await failure {
            try await setup.append(body[3000..<6000], to: upload, at: 3000, expecting: [wrong])
        }
        #expect(error == "digest_mismatch")
        #expect(try await setup.offset(of: upload) == 3000)
        let end = try await setup.append(
            body[3000...], to: upload, at: 3000, isLast: true,
            expecting: [
                ExpectedDigest(algorithm: .sha256, bytes: Digest256.of(body[3000...]).bytes)
            ])
        #expect(end.state == .queued)
        #expect(setup.queue.messages.first?.bundleDigest == .ofBundle(parts: [.of(body)]))
    }

    @Test func whatWasNotCheckedIsTakenBackWithItsConnection() async throws {
        let upload = try await setup.begin(id)
        let append = try await setup.intake.append(
            to: upload, of: setup.device,
            UploadAppend.Terms(
                offset: 0,
                expected: [ExpectedDigest(algorithm: .sha256, bytes: Digest256.of(body).bytes)]),
            cut: nil)
        try await setup.write(body[..<5000], append)
        #expect(try await setup.offset(of: upload) == 0)
        #expect(
            try await failure {
                try await setup.write(body[5000...], append)
                _ = try await append.finish()
            } == "taken_over")
    }

    @Test func aWrongDigestOfAllDropsTheUploadAndItsBundle() async throws {
        let upload = try await setup.intake.beginUpload(
            setup.plan(
                id, expected: [ExpectedDigest(algorithm: .sha256, bytes: Digest256.zero.bytes)]),
            byteCount: nil
        ).id
        let error = try await failure {
            try await setup.append(body, to: upload, at: 0, isLast: true)
        }
        #expect(error == "digest_mismatch")
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_gone")
        #expect(setup.intake.find(setup.key(id)) == nil)
        #expect(try setup.parts.names().isEmpty)
        #expect(try await setup.post(body, id).isNew)
    }

    @Test func anArchiveThatBreaksTheProfileIsRefusedAndMayComeAnew() async throws {
        let upload = try await setup.begin(id)
        let error = try await failure {
            try await setup.append(body.dropLast(), to: upload, at: 0, isLast: true)
        }
        #expect(error?.hasPrefix("archive_") == true)
        #expect(setup.intake.find(setup.key(id)) == nil)
        let next = try await setup.begin(id)
        #expect(try await setup.append(body, to: next, at: 0, isLast: true).state == .queued)
    }

    @Test func anotherDevicesUploadIsUnknown() async throws {
        let upload = try await setup.begin(id)
        let stranger = DeviceID.random()
        #expect(
            try await failure { _ = try await setup.intake.upload(upload, of: stranger) }
                == "upload_unknown")
        #expect(
            try await failure { try await setup.intake.terminate(upload, of: stranger) }
                == "upload_unknown")
    }

    @Test func theNextRequestEndsTheOneBefore() async throws {
        let upload = try await setup.begin(id)
        let cuts = CallCount()
        let first = try await setup.intake.append(
            to: upload, of: setup.device, UploadAppend.Terms(offset: 0, isLast: true),
            cut: { cuts.add() })
        try await setup.write(body[..<4000], first)
        // What is in the file is kept; what the connection still holds is not.
        while (PartDirectory.byteCount(of: UploadFile.fileName(of: upload), in: setup.parts.path)
            ?? 0)
            == 0
        { try await Task.sleep(for: .milliseconds(1)) }
        let told = try await setup.offset(of: upload)
        #expect(cuts.value == 1)
        #expect((1...4000).contains(told))
        let second = try await setup.append(body[told...], to: upload, at: told, isLast: true)
        #expect(second.state == .queued)
        #expect(
            try await failure {
                _ = try await first.write(body)
                _ = try await first.finish()
            } == "taken_over")
        await first.abandon()
        #expect(setup.queue.messages.map(\.bundleDigest) == [.ofBundle(parts: [.of(body)])])
    }

    @Test func aNewUploadOfAPartEndsTheOldOneAtItsFirstByte() async throws {
        let old = try await setup.begin(id)
        try await setup.append(body[..<4000], to: old, at: 0)
        let new = try await setup.begin(id)
        #expect(try await setup.offset(of: old) == 4000)
        #expect(setup.intake.find(setup.key(id))?.parts.first?.upload == old)
        try await setup.append(body[..<1], to: new, at: 0)
        #expect(try await failure { _ = try await setup.offset(of: old) } == "upload_gone")
        #expect(setup.intake.find(setup.key(id))?.parts.first?.upload == new)
        let end = try await setup.append(body[1...], to: new, at: 1, isLast: true)
        #expect(end.state == .queued)
        #expect(try setup.parts.names().count == 1)
    }

    @Test func uploadsThatAreOnlyBegunReplaceEachOther() async throws {
        var uploads: [UploadID] = []
        for _ in 0..<50 { uploads.append(try await setup.begin(id)) }
        #expect(setup.intake.uploads.open(of: setup.key(id)).count == 2)
        #expect(try await setup.offset(of: uploads[48]) == 0)
        #expect(try await setup.offset(of: uploads[49]) == 0)
        #expect(try await failure { _ = try await setup.offset(of: uploads[0]) } == "upload_gone")
    }

    @Test func partsMayComeInEveryWay() async throws {
        let bodies = try [700, 5000, 800].map { try part(ofByteCount: $0) }
        try await setup.declare(id, bodies)
        try await setup.put(bodies[1], 2, of: id)
        let first = try await setup.intake.beginUpload(setup.plan(id, of: nil), byteCount: 700).id
        try await setup.append(bodies[0], to: first, at: 0, isLast: nil)
        let third = try await setup.intake.beginUpload(
            setup.plan(id, part: 3, of: 3), byteCount: nil
        ).id
        try await setup.append(bodies[2][..<10], to: third, at: 0)
        let parts = try #require(setup.intake.find(setup.key(id))).parts
        #expect(parts.map(\.receivedByteCount) == [700, 5000, 10])
        #expect(parts.map(\.upload) == [nil, nil, third])
        let end = try await setup.append(bodies[2][10...], to: third, at: 10, isLast: true)
        #expect(end.state == .queued)
        #expect(
            setup.queue.messages.first?.bundleDigest
                == .ofBundle(parts: bodies.map { .of($0) }))
    }

    @Test func aWholePartEndsTheUploadsOfTheSamePart() async throws {
        try await setup.declare(id, [body])
        let upload = try await setup.intake.beginUpload(setup.plan(id, of: nil), byteCount: nil).id
        try await setup.append(body[..<10], to: upload, at: 0)
        #expect(try await setup.put(body, 1, of: id).standing.state == .queued)
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_gone")
        #expect(try setup.parts.names().count == 1)
    }

    @Test func aPlainBundleTakesThePlaceOfItsUpload() async throws {
        let upload = try await setup.begin(id)
        try await setup.append(body[..<10], to: upload, at: 0)
        #expect(try await setup.post(body, id).standing.state == .queued)
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_gone")
    }

    @Test func theSameBytesAgainAreKnownAndOthersAreNot() async throws {
        let first = try await setup.begin(id)
        try await setup.append(body, to: first, at: 0, isLast: true)
        let again = try await setup.begin(id)
        let known = try await setup.append(body, to: again, at: 0, isLast: true)
        #expect(known.state == .queued)
        let other = try await setup.begin(id)
        let error = try await failure {
            try await setup.append(
                try part(ofByteCount: 9000, fill: 7), to: other, at: 0, isLast: true)
        }
        #expect(error == "idempotency_conflict")
        #expect(setup.queue.messages.count == 1)
        #expect(try setup.parts.names().count == 1)
    }

    @Test func givingUpAnUploadForgetsItsBundleOfOnePart() async throws {
        let upload = try await setup.begin(id)
        try await setup.append(body[..<10], to: upload, at: 0)
        try await setup.intake.terminate(upload, of: setup.device)
        #expect(setup.intake.find(setup.key(id)) == nil)
        #expect(try setup.parts.names().isEmpty)
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_gone")
    }

    @Test func whatADeviceEndsIsRememberedInPart() async throws {
        for _ in 0..<BundleIntake.endedMax + 9 {
            let upload = try await setup.begin(id)
            try await setup.intake.terminate(upload, of: setup.device)
        }
        #expect(setup.intake.uploads.ended(of: setup.device).count == BundleIntake.endedMax)
        #expect(try setup.uploadRecords().count == BundleIntake.endedMax)
    }

    @Test func aCompleteUploadMayBeForgottenAndItsBundleStays() async throws {
        let upload = try await setup.begin(id)
        try await setup.append(body, to: upload, at: 0, isLast: true)
        #expect(
            try await failure { try await setup.intake.terminate(upload, of: setup.device) }
                == "already_complete")
        try await setup.intake.terminate(upload, of: setup.device, forgetting: true)
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_unknown")
        #expect(setup.intake.find(setup.key(id))?.state == .queued)
        #expect(try setup.parts.names().count == 1)
    }

    @Test func givingUpABundleEndsItsUploads() async throws {
        let upload = try await setup.begin(id)
        try await setup.append(body[..<10], to: upload, at: 0)
        #expect(try await setup.intake.giveUp(setup.key(id)))
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_gone")
        #expect(try setup.parts.names().isEmpty)
    }

    @Test func completePartsOfABundleThatIsGivenUpAreForgotten() async throws {
        let upload = try await setup.intake.beginUpload(
            setup.plan(id, part: 1, of: 2), byteCount: nil
        ).id
        try await setup.append(body, to: upload, at: 0, isLast: true)
        #expect(try await setup.intake.upload(upload, of: setup.device).isComplete)
        #expect(try await setup.intake.giveUp(setup.key(id)))
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_unknown")
        #expect(try setup.parts.names().isEmpty)
        #expect(try setup.uploadRecords().isEmpty)
    }

    /// Its device may know nothing but the upload's URL.
    @Test func anUploadOfALostBundleIsGone() async throws {
        let upload = try await setup.intake.beginUpload(
            setup.plan(id, part: 1, of: 2), byteCount: nil
        ).id
        try await setup.append(body, to: upload, at: 0, isLast: true)
        let last = try await setup.intake.beginUpload(
            setup.plan(id, part: 2, of: 2), byteCount: nil
        ).id
        #expect(try await setup.append(body, to: last, at: 0, isLast: true).state == .queued)
        #expect(try await setup.intake.upload(upload, of: setup.device).isComplete)
        setup.note(.lost, id, [body, body])
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_gone")
        // It is sent again, part by part.
        let again = try await setup.intake.beginUpload(
            setup.plan(id, part: 2, of: 2), byteCount: nil
        ).id
        try await setup.append(body, to: again, at: 0, isLast: true)
        #expect(try await setup.intake.upload(again, of: setup.device).isComplete)
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_gone")
        // By its part it is one that nobody has begun.
        #expect(setup.intake.upload(of: setup.key(id), part: 1) == nil)
        #expect(setup.intake.upload(of: setup.key(id), part: 2) == again)
    }

    @Test func anUploadThatWasEndedEndsNoNewerOne() async throws {
        let old = try await setup.begin(id)
        let append = try await setup.intake.append(
            to: old, of: setup.device, UploadAppend.Terms(offset: 0), cut: nil)
        let new = try await setup.begin(id)
        try await setup.append(body[..<100], to: new, at: 0)
        #expect(
            try await failure {
                _ = try await append.write(body)
                _ = try await append.finish()
            } == "taken_over")
        await append.abandon()
        #expect(try await setup.offset(of: new) == 100)
        #expect(try await failure { _ = try await setup.offset(of: old) } == "upload_gone")
    }

    @Test func theFirstByteOfAnOlderUploadEndsNoNewerOne() async throws {
        let old = try await setup.begin(id)
        let new = try await setup.begin(id)
        let again = try setup.restarted()
        try await again.append(body[..<100], to: new, at: 0)
        #expect(try await failure { _ = try await again.offset(of: old) } == "upload_gone")
        let other = BundleID.random()
        let first = try await again.begin(other)
        let second = try await again.begin(other)
        try await again.append(body[..<10], to: first, at: 0)
        #expect(try await again.offset(of: second) == 0)
    }

    /// Its last append has the upload's turn while the device gives it up.
    @Test func anUploadThatIsCompletedMeanwhileIsNotGivenUp() async throws {
        let upload = try await setup.begin(id)
        try await setup.append(body, to: upload, at: 0)
        let (file, _) = try #require(setup.intake.uploads.entry(upload))
        let (fence, _) = try await file.begin()
        let mark = try await file.end(fence, expecting: [], .received)
        let cuts = CallCount()
        _ = setup.intake.uploads.seize(upload) { cuts.add() }
        let giving = try await setup.intake.uploads.turns.take(upload) {
            [setup] () async throws(UploadError) in
            let giving = Task {
                try await failure { try await setup.intake.terminate(upload, of: setup.device) }
            }
            // It has decided when it takes the upload over.
            while cuts.value == 0 { await Task.yield() }
            _ = try await setup.intake.finish(file, mark, expecting: [])
            return giving
        }
        #expect(try await giving.value == "already_complete")
        #expect(setup.queue.messages.count == 1)
    }

    @Test func whatGoesOnDoesNotExpire() async throws {
        let upload = try await setup.begin(id)
        let long = Timestamp.now
        try await setup.append(body[..<10], to: upload, at: 0)
        #expect(await !setup.intake.end(upload, idleSince: long))
        #expect(try await setup.offset(of: upload) == 10)
        #expect(await setup.intake.end(upload, idleSince: .now))
        #expect(try await failure { _ = try await setup.offset(of: upload) } == "upload_gone")
    }

    @Test func anotherNumberOfPartsIsAConflict() async throws {
        _ = try await setup.begin(id)
        #expect(
            try await failure {
                _ = try await setup.intake.beginUpload(setup.plan(id, of: 2), byteCount: nil)
            } == "idempotency_conflict")
        #expect(
            try await failure {
                _ = try await setup.intake.beginUpload(
                    setup.plan(id, part: 2, of: 1), byteCount: nil)
            } == "not_declared")
    }

    @Test func piecesBecomeOnePart() async throws {
        var pieces: [UploadID] = []
        for start in stride(from: 0, to: body.count, by: 4000) {
            let piece = body[start..<min(body.count, start + 4000)]
            let upload = try await setup.intake.beginUpload(
                setup.plan(nil), byteCount: piece.count
            ).id
            try await setup.append(piece, to: upload, at: 0, isLast: nil)
            pieces.append(upload)
        }
        #expect(setup.intake.unfinished(of: setup.device).isEmpty)
        var plan = try setup.plan(id)
        plan.concatenation = "final;"
        guard case .part(let outcome, let upload) = try await setup.intake.concatenate(pieces, plan)
        else { throw MemoryHistory.Away() }
        #expect(outcome.standing.state == .queued)
        #expect(upload.mark.offset == body.count)
        #expect(setup.queue.messages.first?.bundleDigest == .ofBundle(parts: [.of(body)]))
        #expect(try setup.parts.names().count == 1)
        // Its answer was lost.
        #expect(try await setup.intake.concatenate(pieces, plan).id == upload.id)
    }

    @Test func anUnfinishedPieceIsNotConcatenated() async throws {
        let piece = try await setup.intake.beginUpload(setup.plan(nil), byteCount: 10).id
        try await setup.append(body[..<5], to: piece, at: 0, isLast: nil)
        #expect(
            try await failure {
                _ = try await setup.intake.concatenate([piece], setup.plan(id))
            } == "not_concatenable")
        #expect(setup.intake.find(setup.key(id)) == nil)
    }

    @Test func uploadsCountAgainstTheirDevice() async throws {
        var options = UploadOptions()
        options.limits.openBytesMax = 10_000
        let setup = try DeclaredSetup(options)
        let upload = try await setup.intake.beginUpload(setup.plan(id), byteCount: 6000).id
        #expect(
            try await failure {
                _ = try await setup.intake.beginUpload(setup.plan(nil), byteCount: 4001)
            } == "too_many_open")
        let piece = try await setup.intake.beginUpload(setup.plan(nil), byteCount: 4000).id
        let other = try await setup.intake.beginUpload(setup.plan(nil), byteCount: 4000).id
        // Told sizes of pieces count from the first byte on: a piece whose answer was lost has none.
        try await setup.append(body[..<1], to: piece, at: 0, isLast: nil)
        #expect(
            try await failure {
                try await setup.append(body[..<1], to: other, at: 0, isLast: nil)
            } == "too_many_open")
        #expect(
            try await failure { try await setup.declare(.random(), [[1]]) } == "too_many_open")
        try await setup.intake.terminate(upload, of: setup.device)
        try await setup.declare(.random(), [[1]])
    }

    @Test func bytesThatWereDeclaredCountOnce() async throws {
        var options = UploadOptions()
        options.limits.openBytesMax = body.count
        let setup = try DeclaredSetup(options)
        try await setup.declare(id, [body])
        let upload = try await setup.intake.beginUpload(
            setup.plan(id, of: nil), byteCount: body.count
        ).id
        #expect(try await setup.append(body, to: upload, at: 0, isLast: true).state == .queued)
    }

    @Test func aBundleThatFindsNoRoomIsNotDeclared() async throws {
        var options = UploadOptions()
        options.limits.openBytesMax = 10
        let setup = try DeclaredSetup(options)
        #expect(
            try await failure {
                _ = try await setup.intake.beginUpload(setup.plan(id), byteCount: 11)
            } == "too_many_open")
        #expect(setup.intake.find(setup.key(id)) == nil)
    }

    @Test func anUploadThatGotNoByteEndsWithThePart() async throws {
        let old = try await setup.begin(id)
        try await setup.append(body[..<4000], to: old, at: 0)
        let new = try await setup.begin(id)
        try await setup.append(body[4000...], to: old, at: 4000, isLast: true)
        #expect(try await failure { _ = try await setup.offset(of: new) } == "upload_gone")
    }

    @Test func aLastByteWhoseRequestNeverEndedIsTheLastAllTheSame() async throws {
        var plan = try setup.plan(id)
        plan.endsAtLength = true
        let upload = try await setup.intake.beginUpload(plan, byteCount: body.count).id
        let append = try await setup.intake.append(
            to: upload, of: setup.device, UploadAppend.Terms(offset: 0), cut: nil)
        try await setup.write(body, append)
        await append.abandon()
        #expect(setup.intake.find(setup.key(id))?.state == .queued)
    }

    @Test func aDeviceHasSoManyPieces() async throws {
        var pieces: [UploadID] = []
        for _ in 0..<BundleIntake.piecesMax {
            pieces.append(try await setup.intake.beginUpload(setup.plan(nil), byteCount: 2).id)
        }
        // The oldest that has no byte makes room.
        try await setup.append(body[..<1], to: pieces[0], at: 0, isLast: nil)
        pieces.append(try await setup.intake.beginUpload(setup.plan(nil), byteCount: 2).id)
        let gone = pieces.remove(at: 1)
        #expect(try await failure { _ = try await setup.offset(of: gone) } == "upload_gone")
        for piece in pieces.dropFirst() {
            try await setup.append(body[..<1], to: piece, at: 0, isLast: nil)
        }
        #expect(
            try await failure {
                _ = try await setup.intake.beginUpload(setup.plan(nil), byteCount: 0)
            } == "too_many_open")
    }
}

extension BundleIntake.UploadOutcome {
    var id: UploadID {
        switch self {
        case .piece(let standing), .part(_, let standing): standing.id
        }
    }
}
