/* Does nothing but commit bytes in groups: group_commit FILE SENDERS BYTES SECONDS [THREADS]
 *
 * Senders hand their buffers over and sleep until a sync covers them; one thread writes all that has
 * come with pwritev and syncs once. The file is allocated beforehand and written around. There are
 * as many threads as senders; with fewer, each speaks for several senders at once, which spares
 * wake-ups but is no program that anybody's requests could come from.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "figures.h"

#define FILE_BYTES (1LL << 30)
#define IOV_ROOM 1024

static int file;
static size_t record_bytes;
static int senders, threads;
static int64_t counted_from, ends;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct iovec waiting[IOV_ROOM];
static int waiting_count;
/* The batch that collects now; the writer's word for those that come. Under the lock. */
static uint32_t batch = 1;
/* The last batch of each parity that is on disk; it may have gone on by two before a sleeper looks.
 * Two words, so that the end of one batch does not wake the senders of the next. */
static _Atomic uint32_t committed[2];
static _Atomic uint32_t has_work;
static _Atomic int left;

static void sleep_on(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static void *send_records(void *argument)
{
    struct figures *figures = argument;
    int share = senders / threads;
    char *bytes = malloc(record_bytes * share);
    if (!bytes)
        die("malloc");
    memset(bytes, 'x', record_bytes * share);
    while (1) {
        int64_t began = now_ns();
        if (began >= ends)
            break;
        pthread_mutex_lock(&lock);
        uint32_t mine = batch;
        for (int i = 0; i < share; i++) {
            waiting[waiting_count].iov_base = bytes + record_bytes * i;
            waiting[waiting_count++].iov_len = record_bytes;
        }
        pthread_mutex_unlock(&lock);
        if (!atomic_exchange(&has_work, 1))
            wake(&has_work, 1);
        _Atomic uint32_t *word = &committed[mine & 1];
        uint32_t seen;
        while ((int32_t)((seen = atomic_load(word)) - mine) < 0)
            sleep_on(word, seen);
        int64_t ended = now_ns();
        if (ended >= counted_from && ended <= ends)
            for (int i = 0; i < share; i++)
                figures_add(figures, ended - began);
    }
    free(bytes);
    atomic_fetch_sub(&left, 1);
    atomic_store(&has_work, 1);
    wake(&has_work, 1);
    return NULL;
}

static void write_all(struct iovec *vectors, int count, off_t offset)
{
    while (count > 0) {
        ssize_t written = pwritev(file, vectors, count, offset);
        if (written < 0)
            die("pwritev");
        offset += written;
        while (count > 0 && (size_t)written >= vectors->iov_len) {
            written -= vectors->iov_len;
            vectors++;
            count--;
        }
        if (count > 0) {
            vectors->iov_base = (char *)vectors->iov_base + written;
            vectors->iov_len -= written;
        }
    }
}

static void commit_batches(void)
{
    static struct iovec taken[IOV_ROOM];
    off_t offset = 0;
    while (atomic_load(&left) > 0) {
        while (!atomic_exchange(&has_work, 0))
            sleep_on(&has_work, 0);
        pthread_mutex_lock(&lock);
        int count = waiting_count;
        memcpy(taken, waiting, count * sizeof *taken);
        waiting_count = 0;
        uint32_t number = batch;
        if (count)
            batch++;
        pthread_mutex_unlock(&lock);
        if (!count)
            continue;
        if (offset + (off_t)(count * record_bytes) > FILE_BYTES)
            offset = 0;
        write_all(taken, count, offset);
        offset += count * record_bytes;
        if (fdatasync(file) != 0)
            die("fdatasync");
        atomic_store(&committed[number & 1], number);
        wake(&committed[number & 1], INT_MAX);
    }
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "group_commit FILE SENDERS BYTES SECONDS [THREADS]\n");
        return 2;
    }
    senders = atoi(argv[2]);
    record_bytes = strtoul(argv[3], NULL, 10);
    double seconds = atof(argv[4]);
    threads = argc > 5 ? atoi(argv[5]) : senders;
    if (senders < 1 || senders > IOV_ROOM || threads < 1 || senders % threads)
        return 2;
    file = open(argv[1], O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0)
        die("open");
    if ((errno = posix_fallocate(file, 0, FILE_BYTES)) != 0 || fsync(file) != 0)
        die("fallocate");
    struct figures *figures = calloc(threads, sizeof *figures);
    pthread_t *handles = calloc(threads, sizeof *handles);
    counted_from = now_ns() + WARM_UP_NS;
    ends = counted_from + (int64_t)(seconds * 1e9);
    atomic_store(&left, threads);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    for (int i = 0; i < threads; i++)
        if ((errno = pthread_create(&handles[i], &small, send_records, &figures[i])) != 0)
            die("pthread_create");
    commit_batches();
    struct figures all = {0};
    for (int i = 0; i < threads; i++) {
        pthread_join(handles[i], NULL);
        for (size_t j = 0; j < figures[i].count; j++)
            figures_add(&all, figures[i].values[j]);
    }
    figures_print(&all, seconds);
    unlink(argv[1]);
    return 0;
}
