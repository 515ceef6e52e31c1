/* What the C programs of the upload bench share besides the queue's figures: threads that begin at
 * once, their times, a file in memory. */
#ifndef PARTS_H
#define PARTS_H

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../queue/figures.h"

#define PARTS_MAX 1024

/* One part on its way. */
struct part {
    int number;
    int socket;
    int64_t began, ended;
    /* One latency a part, or a piece where each is confirmed. */
    struct figures figures;
};

static inline int archive_open(const char *path, size_t *bytes)
{
    struct stat status;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &status) != 0)
        die(path);
    *bytes = status.st_size;
    return file;
}

/* Runs `work` once a part, each in a thread of its own; from the first byte to the last answer. */
static inline void parts_run(struct part *parts, int count, void *(*work)(void *))
{
    pthread_t threads[PARTS_MAX];
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, work, &parts[i]) != 0)
            die("pthread_create");
    int64_t began = INT64_MAX, ended = 0;
    struct figures all = {0};
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        began = parts[i].began < began ? parts[i].began : began;
        ended = parts[i].ended > ended ? parts[i].ended : ended;
        for (size_t j = 0; j < parts[i].figures.count; j++)
            figures_add(&all, parts[i].figures.values[j]);
    }
    figures_print(&all, (ended - began) / 1e9);
}

#endif
