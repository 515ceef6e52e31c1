/// What an opening found.
package struct RecoveryReport: Sendable, Equatable {
    /// Records that were read and handed on.
    package var records = 0
    package var segments = 0
    /// Bytes of the last segment that no sync had covered and that were cut off.
    package var tornBytes = 0
    /// Loss and suspicion, in order of segments; empty after any ordinary crash.
    package var faults: [RecoveryFault] = []
    /// Records that are damaged and that later ones name.
    package var lost: [LostRecord] = []
    /// Files in the directory that are none of the log's.
    package var unknownFiles: [String] = []

    package init() {}
}

/// One thing that should not be.
package struct RecoveryFault: Sendable, Equatable, CustomStringConvertible {
    package enum Reason: String, Sendable {
        /// No good record covers these bytes, although they were synced.
        case damaged
        /// The file ends before the last record that was synced.
        case cutShort = "cut_short"
        /// Both copies of the header are damaged or not authentic; no record can be opened.
        case headerDamaged = "header_damaged"
        /// The file is gone and no deletion is on record.
        case missing
        /// The file was deleted or never made by this log; it was left alone.
        case unexpected
        /// The segment is of another log, or of another number than its name.
        case foreign
        /// The file is what the segment was before it was rewritten: somebody put it back.
        case outdated
        /// The identity file was missing or damaged and has been made again.
        case identity
    }

    /// 0 for the log as a whole.
    package let segment: UInt64
    /// In the segment's file.
    package let bytes: Range<UInt64>
    /// The records that are gone have sequences in this range; some numbers in it may never have
    /// been used. Nil if not known.
    package let sequences: Range<UInt64>?
    package let reason: Reason

    package var description: String {
        let lost = sequences.map { ", sequences \($0)" } ?? ""
        return "segment \(segment): \(reason.rawValue), bytes \(bytes)\(lost)"
    }
}
