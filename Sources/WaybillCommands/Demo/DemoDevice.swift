internal import Foundation
internal import WaybillClient
internal import WaybillModel
internal import WaybillSealing

/// An aircraft after its enrolment.
struct DemoDevice: Sendable {
    let aircraft: Aircraft
    let enrollment: EnrollmentAnswer
    let client: DeviceClient
    private let secret: [UInt8]

    /// Enrols the aircraft; the request id makes a lost answer harmless.
    static func enroll(
        _ aircraft: Aircraft, code: String, baseURL: String, session: ClientSession
    ) async throws -> DemoDevice {
        let stranger = DeviceClient(baseURL: baseURL, token: nil, session: session)
        let requestID = RequestID.random()
        let enrollment = try await Retrying.run { () async throws(ClientError) in
            try await stranger.enroll(code: code, name: aircraft.name, requestID: requestID)
        }
        guard let secret = Base64URL.decode(enrollment.secret) else {
            throw ClientError.malformed("the secret is not base64url")
        }
        return DemoDevice(
            aircraft: aircraft, enrollment: enrollment,
            client: DeviceClient(
                baseURL: enrollment.baseURL, token: enrollment.token, session: session),
            secret: secret)
    }

    /// Seals one day's flights; a day is a bundle of one part.
    func seal(day: Int, flights: [Flight], sequence: Int64) throws -> SealedBundle {
        let id = StableID.bundle(device: enrollment.deviceID, day: day)
        let header = EntryHeader(
            bundleID: id.description, deviceID: enrollment.deviceID.description,
            transactions: flights.count, deviceSequence: sequence,
            sealedAt: Timestamp.now.description)
        let password = PartPassword.derive(
            secret: secret,
            identity: PartIdentity(
                tenant: enrollment.tenant.text, deviceID: enrollment.deviceID.description,
                bundleID: id.bytes, epoch: enrollment.epoch, part: 1))
        let part = try PartSealer.seal(
            SealedEntry.make(header, flights.map(\.line)), password: password)
        return SealedBundle(
            id: id, part: part, transactions: flights.count,
            digest: Digest256.ofBundle(parts: [Digest256.of(part)]))
    }

    /// Sends a bundle until the server says that it is received.
    func upload(_ bundle: SealedBundle) async throws {
        let (client, epoch) = (client, enrollment.epoch)
        _ = try await Retrying.run { () async throws(ClientError) in
            try await client.upload(bundle.part, bundleID: bundle.id, epoch: epoch)
        }
    }

    /// Waits for a receipt of each bundle, checks and confirms them.
    func collectReceipts(of sent: [SealedBundle], book: ReceiptBook) async throws -> DemoTally {
        var tally = DemoTally()
        var open = Dictionary(uniqueKeysWithValues: sent.map { ($0.id, $0) })
        var last: (sequence: Int64, hash: Digest256) = (0, .zero)
        let patience = ContinuousClock.now + .seconds(300)
        while !open.isEmpty, ContinuousClock.now < patience {
            let (client, after) = (client, last.sequence)
            let page = try await Retrying.run { () async throws(ClientError) in
                try await client.receipts(after: after, limit: 1000, wait: 20)
            }
            for document in page.receipts {
                let receipt = try book.verify(document)
                try VerifiedReceipt.checkChain([receipt], after: last)
                last = (receipt.sequence, receipt.hash)
                tally.receipts += 1
                guard let id = receipt.bundleID, let bundle = open.removeValue(forKey: id),
                    receipt.state == BundleState.settled.rawValue, let counts = receipt.counts,
                    receipt.document["bundle_sha256"]?.text == bundle.digest.description
                else { continue }
                tally.accepted += counts.accepted
                tally.duplicates += counts.duplicate
            }
            guard last.sequence > after else { continue }
            let through = last.sequence
            try await Retrying.run { () async throws(ClientError) in
                try await client.confirm(through: through)
            }
        }
        return tally
    }
}

/// A bundle of one part, kept until its receipt has come.
struct SealedBundle: Sendable {
    let id: BundleID
    let part: [UInt8]
    let transactions: Int
    let digest: Digest256
}

/// What receipts said.
struct DemoTally: Sendable {
    var receipts = 0
    var accepted = 0
    var duplicates = 0
}
