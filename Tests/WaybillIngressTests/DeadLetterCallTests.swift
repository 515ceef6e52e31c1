import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import ServiceLifecycle
import Testing
import WaybillModel
import WaybillStore

@testable import WaybillAdmin

/// The operator's calls about dead letters, over letters in memory.
private struct DeadLetterSide {
    let letters = MemoryDeadLetters()
    let operations = MemoryOperations()
    let jobs: DeadLetterJobs
    private let office: DeadLetterOffice

    init() {
        office = DeadLetterOffice(catalogue: letters, decisions: letters, bytes: letters)
        jobs = DeadLetterJobs(office: office, operations: operations, node: "node-1")
    }

    /// Serves the calls and works jobs off while `body` runs.
    func run(
        _ body: @escaping @Sendable (any TestClientProtocol) async throws -> Void
    ) async throws {
        let router = operations.router(deadLetters: DeadLetterParts(office: office, jobs: jobs))
        let jobs = jobs
        let working = Task { try await jobs.run() }
        defer { working.cancel() }
        try await Application(router: router).test(.router, body)
    }

    /// The job once it has ended.
    func end(of job: JobID) async throws -> JobStatus {
        while true {
            let status = try #require(jobs.find(job))
            if status.hasEnded { return status }
            try await Task.sleep(for: .milliseconds(1))
        }
    }
}

extension TestClientProtocol {
    /// A call under `/admin/v1/`, with the operator's token.
    fileprivate func call(
        _ method: HTTPRequest.Method, _ path: String, _ body: String = ""
    ) async throws -> TestResponse {
        try await execute(
            uri: "/admin/v1/" + path, method: method,
            headers: [.authorization: "Bearer 0perator"], body: ByteBuffer(string: body))
    }
}

extension TestResponse {
    fileprivate func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try JSONDecoder().decode(type, from: Data(body.readableBytesView))
    }
}

@Suite struct DeadLetterCallTests {
    @Test func walksTheWholeFilterPageByPage() async throws {
        let side = DeadLetterSide()
        side.letters.add(7)
        side.letters.add(3, code: .limitUnzipped)
        try await side.run { client in
            var seen: [DeadLetterID] = []
            var query = "dead-letters?code=cannot_open&limit=3"
            var pages = 0
            while true {
                let page = try await client.call(.get, query).decode(DeadLetterPage.self)
                #expect((page.total == 7) == (pages == 0))
                #expect((page.totalBytes == 70) == (pages == 0))
                seen += page.deadLetters.map(\.id)
                pages += 1
                guard let next = page.next else { break }
                query = "dead-letters?code=cannot_open&limit=3&after=\(next)"
            }
            #expect(pages == 3)
            #expect(seen == side.letters.letters.prefix(7).map(\.id))
        }
    }

    @Test func refusesFiltersThatItDoesNotKnow() async throws {
        let side = DeadLetterSide()
        side.letters.add(1)
        try await side.run { client in
            for query in [
                "code=nonsense", "tenant=-", "tenant=nobody", "device=1", "before=yesterday",
                "before=2026-11-21T03:00:00", "state=closed", "after=1", "limit=0", "limit=-1",
                "limit=x", "tennant=acme", "code=cannot_open&code=cannot_open",
                "after=\(DeadLetterID.random())",
            ] {
                let answer = try await client.call(.get, "dead-letters?\(query)")
                #expect(try answer.code() == "invalid_request", "\(query)")
            }
            for body in [
                "", "[]", "null", "{\"tennant\":\"acme\"}", "{\"code\":\"nonsense\"}",
                "{\"state\":\"all\"}", "{\"code\":null}", "{\"tenant\":\"nobody\"}", "{",
            ] {
                let answer = try await client.call(.post, "dead-letters/discard", body)
                #expect(try answer.code() == "invalid_request", "\(body)")
            }
            #expect(!side.letters.letters.contains { $0.resolution != nil })
        }
    }

    @Test func anUnknownOrMalformedIdIs404() async throws {
        let side = DeadLetterSide()
        try await side.run { client in
            for id in [DeadLetterID.random().description, "1", "..%2F..%2Fx"] {
                #expect(try await client.call(.get, "dead-letters/\(id)").code() == "not_found")
                #expect(try await client.call(.delete, "dead-letters/\(id)").code() == "not_found")
                let retried = try await client.call(.post, "dead-letters/\(id)/retry")
                #expect(try retried.code() == "not_found")
                #expect(try await client.call(.get, "jobs/\(id)").code() == "not_found")
                #expect(try await client.call(.delete, "jobs/\(id)").code() == "not_found")
            }
        }
    }

    @Test func aResolvedOrTakenLetterIs409() async throws {
        let side = DeadLetterSide()
        side.letters.add(3)
        let ids = side.letters.letters.map(\.id)
        try await side.run { client in
            #expect(try await client.call(.delete, "dead-letters/\(ids[0])").status == .noContent)
            for (method, path) in [(HTTPRequest.Method.delete, ""), (.post, "/retry")] {
                let answer = try await client.call(method, "dead-letters/\(ids[0])\(path)")
                #expect(try answer.code() == "already_resolved")
                #expect(answer.status == .conflict)
            }
            let retried = try await client.call(.post, "dead-letters/\(ids[1])/retry")
            #expect(retried.status == .accepted)
            #expect(try retried.decode(DeadLetterSummary.self).retrying)
            for (method, path) in [(HTTPRequest.Method.delete, ""), (.post, "/retry")] {
                let answer = try await client.call(method, "dead-letters/\(ids[1])\(path)")
                #expect(try answer.code() == "already_taken")
            }
            side.letters.setElsewhere(ids[2])
            let elsewhere = try await client.call(.post, "dead-letters/\(ids[2])/retry")
            #expect(try elsewhere.code() == "bytes_elsewhere")
            #expect(side.letters.unlinked == [ids[0]])
            #expect(side.letters.retried == [ids[1]])
            #expect(side.letters.audited == ["dead_letter.discard", "dead_letter.retry"])
        }
    }

    @Test func ofTwoOperatorsAtOnceOneGets409() async throws {
        let side = DeadLetterSide()
        side.letters.add(20)
        try await side.run { client in
            for letter in side.letters.letters {
                async let first = client.call(.delete, "dead-letters/\(letter.id)")
                async let second = client.call(.post, "dead-letters/\(letter.id)/retry")
                let codes = try await [first.status.code, second.status.code]
                #expect(codes.contains(409))
                #expect(codes != [409, 409])
            }
            #expect(side.letters.audited.count == 20)
            #expect(side.letters.unlinked.count + side.letters.retried.count == 20)
        }
    }

    @Test func aRetryThatCannotBeQueuedLeavesTheLetterFree() async throws {
        let side = DeadLetterSide()
        side.letters.add(1)
        let id = try #require(side.letters.letters.first?.id)
        try await side.run { client in
            side.letters.setQueueFull(true)
            let refused = try await client.call(.post, "dead-letters/\(id)/retry")
            #expect(try refused.code() == "disk_full")
            side.letters.setQueueFull(false)
            #expect(try await client.call(.post, "dead-letters/\(id)/retry").status == .accepted)
        }
    }

    @Test func aBulkRetryIsAJobWithProgress() async throws {
        let side = DeadLetterSide()
        side.letters.add(1000)
        side.letters.add(5, code: .limitUnzipped)
        let elsewhere = side.letters.letters[500].id
        side.letters.setElsewhere(elsewhere)
        try await side.run { client in
            let answer = try await client.call(
                .post, "dead-letters/retry", #"{"code":"cannot_open"}"#)
            #expect(answer.status == .accepted)
            let begun = try answer.decode(JobStatus.self)
            #expect(begun.total == 1000)
            #expect(answer.headers[.location] == "/admin/v1/jobs/\(begun.id)")
            let ended = try await side.end(of: begun.id)
            #expect(ended.state == .done)
            #expect(ended.total == 1000)
            #expect(ended.done == 999)
            #expect(ended.failed == 1)
            #expect(ended.failures.map(\.id) == [elsewhere])
            #expect(side.letters.retried.count == 999)
            let listed = try await client.call(.get, "jobs").decode([JobStatus].self)
            #expect(listed == [ended])
            // A letter that is retried already is nobody else's.
            let again = try await client.call(
                .post, "dead-letters/discard", "{}"
            ).decode(JobStatus.self)
            let discarded = try await side.end(of: again.id)
            #expect(discarded.done == 6)
            #expect(discarded.failed == 999)
            #expect(discarded.failures.count == 20)
            #expect(
                side.operations.events.filter { $0.hasSuffix("_all") } == [
                    "dead_letters.retry_all", "dead_letters.discard_all",
                ])
        }
        // Read at the end: the job's last word is written after its state.
        #expect(side.operations.events.contains("dead_letters.retry_all.ended"))
    }

    @Test func eachDevicesLettersAreQueuedInTheirOrder() async throws {
        let side = DeadLetterSide()
        side.letters.add(300)
        try await side.run { client in
            let job = try await client.call(.post, "dead-letters/retry", "{}").decode(
                JobStatus.self)
            _ = try await side.end(of: job.id)
        }
        let letters = side.letters.letters
        for device in Set(letters.map(\.deviceID)) {
            let wanted = letters.filter { $0.deviceID == device }.map(\.id)
            let order = side.letters.retried.filter { wanted.contains($0) }
            #expect(order == wanted)
        }
    }

    @Test func aCancelledJobLeavesTheRestOpen() async throws {
        let side = DeadLetterSide()
        side.letters.add(500)
        try await side.run { client in
            var jobs: [JobStatus] = []
            for _ in 0..<3 {
                jobs.append(
                    try await client.call(.post, "dead-letters/discard", "{}").decode(
                        JobStatus.self))
            }
            for job in jobs {
                let answer = try await client.call(.delete, "jobs/\(job.id)")
                #expect(answer.status == .ok)
            }
            var done = 0
            for job in jobs { done += try await side.end(of: job.id).done }
            #expect(side.letters.letters.count { $0.resolution != nil } == done)
            #expect(done % 100 == 0)
        }
    }

    @Test func cancelledJobsKeepNoPlaceInLine() async throws {
        let side = DeadLetterSide()
        side.letters.add(3)
        for _ in 0..<1100 {
            let job = try side.jobs.add(.discard, DeadLetterFilter())
            side.jobs.start(job.id)
            #expect(side.jobs.cancel(job.id)?.state == .cancelled)
        }
        #expect(side.jobs.cancel(.random()) == nil)
        let job = try side.jobs.add(.discard, DeadLetterFilter())
        side.jobs.start(job.id)
        try await side.run { _ in
            let ended = try await side.end(of: job.id)
            #expect(ended.done == 3)
        }
        // One that has ended stays as it is.
        #expect(side.jobs.cancel(job.id)?.state == .done)
    }

    @Test func aJobWithoutADatabaseFailsAndKeepsWhatItDid() async throws {
        let side = DeadLetterSide()
        side.letters.add(500)
        side.letters.setAway(afterPages: 2)
        try await side.run { client in
            let job = try await client.call(.post, "dead-letters/discard", "{}").decode(
                JobStatus.self)
            let ended = try await side.end(of: job.id)
            #expect(ended.state == .failed)
            #expect(ended.detail == "The database does not answer.")
            #expect(ended.done == 400)
            #expect(side.letters.letters.count { $0.resolution == nil } == 100)
        }
    }

    @Test func tooManyJobsAre429() async throws {
        let side = DeadLetterSide()
        side.letters.add(1)
        // Nobody works them off here.
        for _ in 0..<DeadLetterJobs.unfinishedMax {
            _ = try side.jobs.add(.retry, DeadLetterFilter())
        }
        #expect {
            try side.jobs.add(.retry, DeadLetterFilter())
        } throws: {
            ($0 as? Problem)?.status == 429
        }
    }
}
