/* What the C programs of the queue's bench share: a clock, latencies, and the line that they print. */
#ifndef FIGURES_H
#define FIGURES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

/* What is confirmed in this time is not counted: memory, files and threads come to be. */
#define WARM_UP_NS 300000000LL

static inline int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static inline void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Latencies of one thread, in nanoseconds. */
struct figures {
    int64_t *values;
    size_t count, room;
};

static inline void figures_add(struct figures *figures, int64_t latency)
{
    if (figures->count == figures->room) {
        figures->room = figures->room ? 2 * figures->room : 4096;
        figures->values = realloc(figures->values, figures->room * sizeof *figures->values);
        if (!figures->values)
            die("realloc");
    }
    figures->values[figures->count++] = latency;
}

static inline int figures_compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static inline double figures_quantile(const struct figures *figures, double part)
{
    if (!figures->count)
        return 0;
    return figures->values[(size_t)(part * (figures->count - 1))] / 1e3;
}

/* Sorts the latencies and prints one JSON object. */
static inline void figures_print(struct figures *figures, double seconds)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    qsort(figures->values, figures->count, sizeof *figures->values, figures_compare);
    printf("{\"confirmed\": %zu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"cpu_seconds\": %.3f}\n",
           figures->count, seconds, figures_quantile(figures, 0.5),
           figures_quantile(figures, 0.99),
           usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
               + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

#endif
