internal import WaybillModel

/// Ways in which a line is no valid transaction.
enum BadLine: String, Sendable, CaseIterable {
    case cutOff, notAnObject, empty, commaMissing, leadingZero, textBehind, actorNumber
    case actorTooLong
    case rawByte, rawSurrogate, rawByteBeforeID
    case typeTwice, payloadKeyTwice
    case idMissing, idMalformed, idNumber
    case typeMissing, typeEmpty, typeTooLong, typeControl
    case timeMissing, timeWithoutOffset, timeImpossible, timeNumber
    case twoContents, noContent, bodyNotBase64, contentTypeMissing
    case nullCharacter, halfSurrogate, numberTooLarge
    case tooDeep

    /// What the server must say.
    var code: RejectionCode {
        switch self {
        case .cutOff, .notAnObject, .empty, .commaMissing, .leadingZero, .textBehind, .actorNumber,
            .actorTooLong:
            .invalidJSON
        case .rawByte, .rawSurrogate, .rawByteBeforeID: .invalidUTF8
        case .typeTwice, .payloadKeyTwice: .duplicateKey
        case .idMissing, .idMalformed, .idNumber: .invalidID
        case .typeMissing, .typeEmpty, .typeTooLong, .typeControl: .invalidType
        case .timeMissing, .timeWithoutOffset, .timeImpossible, .timeNumber: .invalidTime
        case .twoContents, .noContent, .bodyNotBase64, .contentTypeMissing: .invalidBody
        case .nullCharacter, .halfSurrogate, .numberTooLarge: .unstorable
        case .tooDeep: .tooDeep
        }
    }

    /// The server can tell whose line it is.
    var showsID: Bool {
        switch self {
        case .notAnObject, .empty, .rawByteBeforeID, .idMissing, .idMalformed, .idNumber: false
        default: true
        }
    }
}

extension LineWriter {
    /// Appends a line without its line feed; `sketch` is what it would have been.
    func append(_ bad: BadLine, _ sketch: TransactionSketch, to writer: inout ByteWriter) {
        switch bad {
        case .notAnObject: writer.append(#"["a list", "of", {"no": "members"}]"#)
        case .empty: break
        case .rawByteBeforeID:
            writer.append("{\"payload\":\"")
            writer.append(UInt8(0xc3))
            writer.append("(\",\"id\":\"")
            writer.append(sketch.id)
            writer.append("\"}")
        default:
            writer.append("{")
            appendID(bad, sketch, to: &writer)
            appendType(bad, sketch, to: &writer)
            appendTime(bad, sketch, to: &writer)
            if bad == .commaMissing { writer.append(#" "surplus":1"#) }
            if bad == .actorNumber { writer.append(#","actor":17"#) }
            if bad == .actorTooLong {
                writer.append(#","actor":""#)
                writer.append([UInt8](repeating: UInt8(ascii: "a"), count: 129))
                writer.append("\"")
            }
            appendContent(bad, sketch, to: &writer)
            if bad != .cutOff { writer.append("}") }
            if bad == .textBehind { writer.append(" {}") }
        }
    }

    private func appendID(
        _ bad: BadLine, _ sketch: TransactionSketch, to writer: inout ByteWriter
    ) {
        switch bad {
        case .idMissing: writer.append(#""ident":1"#)
        case .idNumber: writer.append(#""id":4711"#)
        case .idMalformed: writer.append(#""id":"0190163d-8694-739b-aea5-966c26f8ad9g""#)
        default:
            writer.append(#""id":""#)
            writer.append(sketch.id)
            writer.append("\"")
        }
    }

    private func appendType(
        _ bad: BadLine, _ sketch: TransactionSketch, to writer: inout ByteWriter
    ) {
        switch bad {
        case .typeMissing: break
        case .typeEmpty: writer.append(#","type":"""#)
        case .typeControl: writer.append(#","type":"visit\u0007""#)
        case .typeTooLong:
            writer.append(#","type":""#)
            writer.append([UInt8](repeating: UInt8(ascii: "t"), count: 129))
            writer.append("\"")
        default:
            writer.append(#","type":""#)
            writer.append(FieldValues.typeTexts[sketch.type])
            writer.append("\"")
            if bad == .typeTwice { writer.append(#","type":"visit.completed""#) }
        }
    }

    private func appendTime(
        _ bad: BadLine, _ sketch: TransactionSketch, to writer: inout ByteWriter
    ) {
        switch bad {
        case .timeMissing: break
        case .timeWithoutOffset: writer.append(#","occurred_at":"2026-06-01T12:00:00""#)
        case .timeImpossible: writer.append(#","occurred_at":"2026-02-29T12:00:00Z""#)
        case .timeNumber: writer.append(#","occurred_at":1780272000"#)
        default:
            writer.append(#","occurred_at":""#)
            appendTime(sketch, to: &writer)
            writer.append("\"")
        }
    }

    private func appendContent(
        _ bad: BadLine, _ sketch: TransactionSketch, to writer: inout ByteWriter
    ) {
        switch bad {
        case .noContent: return
        case .bodyNotBase64:
            writer.append(#","content_type":"image/png","body":"AB=C""#)
            return
        case .contentTypeMissing:
            writer.append(#","body":"AAAA""#)
            return
        default: writer.append(#","payload":"#)
        }
        switch bad {
        case .cutOff: writer.append(#"{"note": "cut "#)
        case .leadingZero: writer.append("[012]")
        case .rawByte:
            writer.append(#"{"note":""#)
            writer.append(UInt8(0xff))
            writer.append(#""}"#)
        case .rawSurrogate:
            writer.append(#"{"note":""#)
            writer.append([0xed, 0xa0, 0x80])
            writer.append(#""}"#)
        case .payloadKeyTwice: writer.append(#"{"a":{"k":1,"b":2,"\u006b":3}}"#)
        case .nullCharacter: writer.append(#"{"note":"\u0000"}"#)
        case .halfSurrogate: writer.append(#"{"note":"\ud83d"}"#)
        case .numberTooLarge: writer.append("[1e309]")
        case .tooDeep:
            for _ in 0..<128 { writer.append("[") }
            for _ in 0..<128 { writer.append("]") }
        case .twoContents: writer.append(#"{},"content_type":"image/png","body":"AAAA""#)
        default: payloads.append(sketch, to: &writer)
        }
    }
}
