internal import CLibzip
internal import WaybillSealing

/// What libzip says of a part's structure, after the structure check and in no place of it.
///
/// A part on which two independent readers disagree is not settled. Nothing is deciphered or
/// inflated here: libzip 1.7.3 rejects intact entries and accepts damaged ones (its issues 261 and
/// 478), so that authenticity is decided by the HMAC alone.
enum SecondOpinion {
    /// Throws `.cannotOpen` when libzip refuses the archive under `ZIP_CHECKCONS`, or sees another
    /// entry than the layout; `.source` and `.library` as the opener does. Costs some microseconds,
    /// whatever the part's size.
    static func ask(
        on source: some ArchiveSource, _ layout: ArchiveLayout
    ) throws(OpeningError) {
        let view: ClearView
        do {
            view = try ClearView(of: source, layout)
        } catch {
            throw .source(error)
        }
        let archive = try ZipArchive(view)
        try archive.check(against: layout)
    }
}

/// An archive that libzip has opened and found consistent.
@safe private struct ZipArchive: ~Copyable {
    private let archive: OpaquePointer

    init(_ view: ClearView) throws(OpeningError) {
        var error = unsafe zip_error_t()
        unsafe zip_error_init(&error)
        defer { unsafe zip_error_fini(&error) }
        // Released when libzip frees the source.
        let reader = unsafe Unmanaged.passRetained(ViewReader(view))
        guard let source = unsafe zip_source_function_create(answer, reader.toOpaque(), &error)
        else {
            unsafe reader.release()
            throw unsafe Self.disagreement(&error)
        }
        let flags = ZIP_RDONLY | ZIP_CHECKCONS
        guard let archive = unsafe zip_open_from_source(source, flags, &error) else {
            unsafe zip_source_free(source)
            throw unsafe Self.disagreement(&error)
        }
        unsafe self.archive = unsafe archive
    }

    deinit {
        unsafe zip_discard(archive)
    }

    func check(against layout: ArchiveLayout) throws(OpeningError) {
        var status = unsafe zip_stat_t()
        guard unsafe zip_get_num_entries(archive, 0) == 1,
            unsafe zip_stat_index(archive, 0, 0, &status) == 0,
            unsafe Int(clamping: status.comp_size) == layout.zippedCount,
            unsafe Int(clamping: status.size) == layout.declaredByteCount,
            unsafe status.comp_method == layout.method.rawValue,
            unsafe Int32(status.encryption_method) == ZIP_EM_AES_256
        else { throw .cannotOpen("libzip sees another entry") }
    }

    private static func disagreement(_ error: inout zip_error_t) -> OpeningError {
        let number = unsafe zip_error_code_zip(&error)
        let detail = unsafe zip_error_code_system(&error)
        guard number != ZIP_ER_MEMORY else { return .library("libzip ran out of memory") }
        let words = unsafe zip_error_strerror(&error).map { unsafe String(cString: $0) } ?? ""
        return .cannotOpen("libzip refuses the archive: \(words) (\(number), \(detail))")
    }
}

/// A view as libzip reads it: at a place that moves.
@safe private final class ViewReader {
    private let view: ClearView
    private var position = 0
    private var error = unsafe zip_error_t()

    init(_ view: ClearView) {
        self.view = view
        unsafe zip_error_init(&error)
    }

    deinit {
        unsafe zip_error_fini(&error)
    }

    /// What a source that can be read and sought does (libzip's manual, zip_source_function).
    func perform(
        _ command: zip_source_cmd_t, _ data: UnsafeMutableRawPointer?, _ length: zip_uint64_t
    ) -> zip_int64_t {
        switch command {
        case ZIP_SOURCE_OPEN:
            position = 0
            return 0
        case ZIP_SOURCE_READ:
            let target = unsafe UnsafeMutableRawBufferPointer(
                start: data, count: Int(clamping: length))
            let count = unsafe view.copy(from: position, to: target)
            position += count
            return zip_int64_t(count)
        case ZIP_SOURCE_SEEK:
            let next = unsafe zip_source_seek_compute_offset(
                zip_uint64_t(position), zip_uint64_t(view.byteCount), data, length, &error)
            guard next >= 0 else { return -1 }
            position = Int(next)
            return 0
        case ZIP_SOURCE_TELL: return zip_int64_t(position)
        case ZIP_SOURCE_STAT:
            guard let status = unsafe data?.assumingMemoryBound(to: zip_stat_t.self),
                unsafe length >= MemoryLayout<zip_stat_t>.size
            else { return -1 }
            unsafe zip_stat_init(status)
            unsafe status.pointee.valid |= zip_uint64_t(ZIP_STAT_SIZE)
            unsafe status.pointee.size = zip_uint64_t(view.byteCount)
            return unsafe zip_int64_t(MemoryLayout<zip_stat_t>.size)
        case ZIP_SOURCE_ERROR: return unsafe zip_error_to_data(&error, data, length)
        case ZIP_SOURCE_SUPPORTS: return Self.supported
        case ZIP_SOURCE_CLOSE, ZIP_SOURCE_FREE: return 0
        default:
            unsafe zip_error_set(&error, ZIP_ER_OPNOTSUPP, 0)
            return -1
        }
    }

    private static let supported: zip_int64_t = [
        ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR,
        ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_SUPPORTS,
    ].reduce(0) { $0 | 1 << $1.rawValue }
}

private let answer: zip_source_callback = { state, data, length, command in
    guard let state = unsafe state else { return -1 }
    let reader = unsafe Unmanaged<ViewReader>.fromOpaque(state)
    let result = unsafe reader.takeUnretainedValue().perform(command, data, length)
    if command == ZIP_SOURCE_FREE { unsafe reader.release() }
    return result
}
