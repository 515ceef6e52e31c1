#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// `pread(2)` until everything is there.
package enum PositionalRead {
    /// Up to `count` bytes from `offset` on, fewer only at the file's end; and the error's number, 0
    /// for none.
    package static func bytes(
        of descriptor: Int32, at offset: Int, count: Int
    ) -> (bytes: [UInt8], number: Int32) {
        var number: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: max(0, count)) { buffer, filled in
            while filled < count {
                let rest = UnsafeMutableRawBufferPointer(
                    rebasing: UnsafeMutableRawBufferPointer(buffer)[filled..<count])
                let got = pread(descriptor, rest.baseAddress, rest.count, off_t(offset + filled))
                if got > 0 {
                    filled += got
                } else if got == 0 {
                    return
                } else if errno != EINTR {
                    number = errno
                    return
                }
            }
        }
        return (bytes, number)
    }
}
