import Foundation
import Synchronization
import Testing
import WaybillModel

@testable import WaybillUpload

extension DeclaredSetup {
    func plan(
        _ id: BundleID?, part: Int = 1, of partCount: Int? = 1, expected: [ExpectedDigest] = [],
        at time: Timestamp = .now
    ) throws -> UploadPlan {
        UploadPlan(
            tenant: TenantID(1), tenantSlug: try #require(TenantSlug("acme")), deviceID: device,
            target: id.map {
                UploadTarget(bundleID: $0, part: part, partCount: partCount, epoch: nil)
            },
            expected: expected, createdAt: time, source: "127.0.0.1")
    }

    /// Begins an upload of a bundle of one part.
    func begin(_ id: BundleID, byteCount: Int? = nil) async throws -> UploadID {
        try await intake.beginUpload(try plan(id), byteCount: byteCount).id
    }

    /// Adds bytes in pieces of 1,000; `isLast` nil goes by the upload's length.
    @discardableResult
    func append(
        _ bytes: some Collection<UInt8>, to id: UploadID, at offset: Int, isLast: Bool? = false,
        byteCount: Int? = nil, expecting expected: [ExpectedDigest] = []
    ) async throws -> UploadAppend.Outcome {
        let append = try await intake.append(
            to: id, of: device,
            UploadAppend.Terms(
                offset: offset, announced: bytes.count, byteCount: byteCount, isLast: isLast,
                expected: expected), cut: nil)
        do {
            try await write(bytes, append)
            return try await append.finish()
        } catch {
            await append.abandon()
            throw error
        }
    }

    func write(_ bytes: some Collection<UInt8>, _ append: UploadAppend) async throws {
        let bytes = Array(bytes)
        for start in stride(from: 0, to: bytes.count, by: 1000) {
            _ = try await append.write(Array(bytes[start..<min(bytes.count, start + 1000)]))
        }
    }

    func uploadRecords() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: bundles.path + "/uploads")
    }

    func offset(of id: UploadID) async throws -> Int {
        try await intake.upload(id, of: device).mark.offset
    }
}

extension UploadAppend.Outcome {
    /// The bundle's state; nil while the upload is not complete.
    var state: BundleState? {
        if case .finished(.part(let outcome, _)) = self { outcome.standing.state } else { nil }
    }
}

/// Counts calls.
final class CallCount: Sendable {
    private let count = Atomic(0)

    var value: Int { count.load(ordering: .sequentiallyConsistent) }

    func add() { count.add(1, ordering: .sequentiallyConsistent) }
}
