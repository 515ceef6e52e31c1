internal import WaybillModel

/// Follows one chain from its first row on and says where it is not what it was.
///
/// Holds nothing but the place it has come to.
struct ChainWalk {
    let trail: AuditFault.Trail
    let chain: DeviceID
    private(set) var sequence: Int64 = 0
    private(set) var hash: Digest256 = .zero

    init(_ trail: AuditFault.Trail, chain: DeviceID) {
        self.trail = trail
        self.chain = chain
    }

    /// Goes one row further.
    ///
    /// - Parameters:
    ///   - hash: as stored; the next row has to name it.
    ///   - fault: what is wrong with the row itself, if anything.
    mutating func take(
        sequence: Int64, previous: Digest256, hash: Digest256,
        fault: (kind: AuditFault.Kind, detail: String)?
    ) -> [AuditFault] {
        var faults = gap(before: sequence)
        if faults.isEmpty, previous != self.hash {
            faults.append(
                AuditFault(
                    .unchained, in: trail, chain: chain, sequence: sequence,
                    "it does not name the hash of the row before it"))
        }
        if let fault {
            faults.append(
                AuditFault(
                    fault.kind, in: trail, chain: chain, sequence: sequence, fault.detail))
        }
        self.sequence = sequence
        self.hash = hash
        return faults
    }

    /// Compares with where the chain should end.
    func end(at sequence: Int64, hash: Digest256) -> [AuditFault] {
        if self.sequence < sequence { return gap(before: sequence + 1) }
        guard self.sequence == sequence, self.hash != hash else { return [] }
        return [
            AuditFault(
                .wrongEnd, in: trail, chain: chain, sequence: sequence,
                "the chain's kept end has another hash")
        ]
    }

    private func gap(before next: Int64) -> [AuditFault] {
        guard next > sequence + 1 else { return [] }
        let (first, last) = (sequence + 1, next - 1)
        return [
            AuditFault(
                .missing, in: trail, chain: chain, sequence: first,
                first == last ? "the row is not there" : "the rows up to \(last) are not there")
        ]
    }
}
