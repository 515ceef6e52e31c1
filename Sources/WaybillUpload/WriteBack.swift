#if canImport(Glibc)
    internal import CGlibc
#endif

/// Has the kernel begin to put a file's bytes on the disk while more are written, so that the sync at the
/// end finds most of them there. Promises nothing by itself.
struct WriteBack {
    /// What comes behind this was not begun.
    private var begun = 0

    /// Bytes at a time: few enough for the disk to have something to do soon.
    private static let stride = 4 << 20

    /// To be called when all bytes up to `end` are written.
    mutating func written(to end: Int, _ descriptor: Int32) {
        // What was cut off is written anew.
        begun = min(begun, end)
        guard end - begun >= Self.stride else { return }
        #if canImport(Glibc)
            // What goes wrong is told by the sync.
            _ = sync_file_range(
                descriptor, off_t(begun), off_t(end - begun),
                UInt32(WAYBILL_SYNC_FILE_RANGE_WRITE))
        #endif
        begun = end
    }
}
