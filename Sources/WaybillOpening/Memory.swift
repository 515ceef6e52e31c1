#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Below 0, 0 or above 0, as the first bytes that differ say.
func compare(_ left: UnsafeRawPointer, _ right: UnsafeRawPointer, _ count: Int) -> Int32 {
    unsafe memcmp(left, right, count)
}

/// The offset of the first line feed.
func lineFeedOffset(in bytes: UnsafeRawBufferPointer) -> Int? {
    guard let base = bytes.baseAddress, let found = unsafe memchr(base, 10, bytes.count) else {
        return nil
    }
    return unsafe UnsafeRawPointer(found) - base
}
