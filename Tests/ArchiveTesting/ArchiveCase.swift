package import WaybillSealing

/// One archive and what is to be said of it; its name is that of BAD-INPUTS.md where it has one.
package struct ArchiveCase: Sendable {
    package let name: String
    package let bytes: [UInt8]
    /// Nil when the archive is a sound part.
    package let refusal: ArchiveRefusal?

    package init(accepted name: String, _ bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
        refusal = nil
    }

    package init(accepted name: String, _ change: (inout ArchiveForge) -> Void) {
        self.init(accepted: name, ArchiveForge.changed(change))
    }

    package init(
        _ name: String, _ code: ArchiveCode, _ rule: String, at offset: Int, _ bytes: [UInt8]
    ) {
        self.name = name
        self.bytes = bytes
        refusal = ArchiveRefusal(code, rule, at: offset)
    }

    package init(
        _ name: String, _ code: ArchiveCode, _ rule: String, at offset: Int,
        _ change: (inout ArchiveForge) -> Void
    ) {
        self.init(name, code, rule, at: offset, ArchiveForge.changed(change))
    }
}

extension ArchiveCase: CustomStringConvertible {
    package var description: String { name }
}

/// Archives by name. A sound one has its data at byte 54, its directory at 94, its end at 164.
package enum ArchiveCases {
    /// The contract's limits of a part.
    package static let limits = ArchiveLimits(partUnzippedBytesMax: 256 << 20, ratioMax: 200)

    package static let refused = ends + directories + names + headers + sizes + encryption
}
