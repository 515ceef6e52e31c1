#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// What can go wrong with a pool of listeners.
package enum ListenerError: Error, CustomStringConvertible {
    /// The number of listeners lies outside what is configured.
    case outOfRange(target: Int, min: Int, max: Int)
    /// No bounds for automatic scaling.
    case boundsInvalid(min: Int, max: Int, limit: Int)
    /// Somebody else changed the pool meanwhile.
    case notAsExpected(target: Int)
    /// What an operator wants could not be made to outlive a restart.
    case settingUnwritable(String)
    /// A dead letter's bytes could not be written.
    case deadLetterUnwritable(errno: Int32)
    /// A dead letter's file is not what was written.
    case deadLetterDamaged
    /// This node has not the files of a dead letter.
    case deadLetterMissing
    /// The directory of dead letters could not be listed.
    case deadLettersUnlistable(errno: Int32)
    /// A part's file could not be read.
    case partUnreadable(errno: Int32)
    /// A part's file is not what was acknowledged; the text says in what way.
    case partDamaged(String)
    /// A receipt that was there a moment ago is gone.
    case receiptGone

    package var description: String {
        switch self {
        case .outOfRange(let target, let min, let max):
            "\(target) listeners: the number must lie between \(min) and \(max)"
        case .boundsInvalid(let min, let max, let limit):
            "min \(min) and max \(max): 0 ≤ min ≤ max ≤ \(limit) is to hold, and max is at least 1"
        case .notAsExpected(let target): "the target is \(target) now"
        case .settingUnwritable(let reason): "the number of listeners cannot be kept: \(reason)"
        case .deadLetterUnwritable(let number):
            "a dead letter could not be written (errno \(number))"
        case .deadLetterDamaged: "a dead letter's file is damaged"
        case .deadLetterMissing: "this node has not the dead letter's files"
        case .deadLettersUnlistable(let number):
            "the dead letters' directory could not be listed (errno \(number))"
        case .partUnreadable(let number):
            "a part's file could not be read (errno \(number))"
        case .partDamaged(let what): "a part is damaged: \(what)"
        case .receiptGone: "the database had the bundle's receipt and has it no more"
        }
    }

    package var isRetryable: Bool {
        switch self {
        case .outOfRange, .boundsInvalid, .notAsExpected, .deadLetterDamaged, .deadLetterMissing,
            .partDamaged:
            false
        case .settingUnwritable, .deadLetterUnwritable, .deadLettersUnlistable, .partUnreadable,
            .receiptGone:
            true
        }
    }

    /// The system has no room, file or memory to spare, or the parts' directory is not there: no
    /// fault of what was to be read or written.
    var isOfTheSystem: Bool {
        switch self {
        case .deadLetterUnwritable: true
        case .partUnreadable(let number): [EMFILE, ENFILE, ENOMEM, EINTR, ENOENT].contains(number)
        default: false
        }
    }

    package var isFatal: Bool { false }

    package var shortDescription: String {
        switch self {
        case .outOfRange: "out_of_range"
        case .boundsInvalid: "bounds_invalid"
        case .notAsExpected: "not_as_expected"
        case .settingUnwritable: "setting_unwritable"
        case .deadLetterUnwritable: "dead_letter_unwritable"
        case .deadLetterDamaged: "dead_letter_damaged"
        case .deadLetterMissing: "dead_letter_missing"
        case .deadLettersUnlistable: "dead_letters_unlistable"
        case .partUnreadable: "part_unreadable"
        case .partDamaged: "part_damaged"
        case .receiptGone: "receipt_gone"
        }
    }
}
