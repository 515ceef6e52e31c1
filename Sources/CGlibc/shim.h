#include <malloc.h>
#include <sys/types.h>

// Behind _GNU_SOURCE in <fcntl.h> and <unistd.h>, which the Glibc module reads without it.
#define WAYBILL_SYNC_FILE_RANGE_WRITE 2
extern int sync_file_range(int file, __off64_t offset, __off64_t count, unsigned int flags);
extern int syncfs(int file);
