/* Uploads parts, one connection each, all at once: send_parts PORT ARCHIVE PIECE whole|ietf|appends
 *
 * A line of the input is a part: its device's token, a space, its path. `whole` is a plain PUT, `ietf`
 * a PUT of the IETF's resumable kind, both of the whole archive; `appends` begins empty and appends
 * pieces, each after the answer to the one before. The bytes go from the page cache to the socket
 * without a copy, so that the server is what is measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "parts.h"

#define ANSWER_ROOM (64 << 10)
#define RESUMABLE "Upload-Draft-Interop-Version: 8\r\n"

struct target {
    char token[512], path[512];
    char answer[ANSWER_ROOM + 1];
    size_t received;
};

static struct target *targets;
static int port, archive_file;
static size_t archive_bytes, piece_bytes;
static const char *way;
static pthread_barrier_t start;

static void refuse(const char *what, const struct target *target)
{
    fprintf(stderr, "%s: %.*s\n", what, (int)target->received, target->answer);
    exit(1);
}

static int connected(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int file = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (connect(file, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return file;
}

/* A head, and the archive's bytes from `offset` to `end`. */
static void request(const struct part *part, const char *method, const char *fields, off_t offset,
                    size_t end)
{
    const struct target *target = &targets[part->number];
    char head[2048];
    int count = snprintf(head, sizeof head,
                         "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
                         "Content-Length: %zu\r\n%s\r\n",
                         method, target->path, port, target->token, end - offset, fields);
    if (count >= (int)sizeof head)
        refuse("too long a head", target);
    int more = end > (size_t)offset ? MSG_MORE : 0;
    if (send(part->socket, head, count, MSG_NOSIGNAL | more) != count)
        die("send");
    while ((size_t)offset < end)
        if (sendfile(part->socket, archive_file, &offset, end - offset) <= 0)
            die("sendfile");
}

/* A field's value up to the end of its line; null if there is none. */
static const char *field(const struct target *target, const char *name)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\r\n%s: ", name);
    const char *found = strcasestr(target->answer, wanted);
    return found ? found + strlen(wanted) : NULL;
}

/* The head of the answer to come is at the beginning of the room, whole; returns its length. */
static size_t read_head(const struct part *part)
{
    struct target *target = &targets[part->number];
    while (1) {
        target->answer[target->received] = 0;
        const char *end = strstr(target->answer, "\r\n\r\n");
        if (end)
            return end + 4 - target->answer;
        if (target->received == ANSWER_ROOM)
            refuse("too long an answer", target);
        ssize_t got = recv(part->socket, target->answer + target->received,
                           ANSWER_ROOM - target->received, 0);
        if (got <= 0)
            die("recv");
        target->received += got;
    }
}

static void drop(struct target *target, size_t count)
{
    target->received -= count;
    memmove(target->answer, target->answer + count, target->received);
}

/* Reads past informational answers to the last one, which has to be of the 200s; `location`, where
 * it is wanted, takes its path. Those that come while a body is sent wait in the socket. */
static void await(const struct part *part, char *location, size_t room)
{
    struct target *target = &targets[part->number];
    while (1) {
        size_t head = read_head(part);
        int status = atoi(target->answer + strlen("HTTP/1.1 "));
        if (status / 100 == 1) {
            drop(target, head);
            continue;
        }
        if (status / 100 != 2)
            refuse("refused", target);
        if (location) {
            const char *path = field(target, "location");
            path = path ? strstr(path, "://") : NULL;
            path = path ? strchr(path + 3, '/') : NULL;
            if (!path)
                refuse("no location", target);
            snprintf(location, room, "%.*s", (int)strcspn(path, "\r"), path);
        }
        const char *length = field(target, "content-length");
        size_t whole = head + (length ? strtoul(length, NULL, 10) : 0);
        while (target->received < whole) {
            ssize_t got = recv(part->socket, target->answer + target->received,
                               ANSWER_ROOM - target->received, 0);
            if (got <= 0)
                die("recv");
            target->received += got;
        }
        return drop(target, whole);
    }
}

static void send_appends(struct part *part)
{
    struct target *target = &targets[part->number];
    request(part, "PUT", RESUMABLE "Upload-Complete: ?0\r\nContent-Type: application/zip\r\n", 0, 0);
    await(part, target->path, sizeof target->path);
    for (size_t offset = 0; offset < archive_bytes;) {
        int64_t began = now_ns();
        size_t rest = archive_bytes - offset;
        size_t end = offset + (rest < piece_bytes ? rest : piece_bytes);
        char fields[256];
        snprintf(fields, sizeof fields,
                 RESUMABLE "Upload-Offset: %zu\r\nUpload-Complete: ?%d\r\n"
                           "Content-Type: application/partial-upload\r\n",
                 offset, end == archive_bytes);
        request(part, "PATCH", fields, offset, end);
        await(part, NULL, 0);
        figures_add(&part->figures, now_ns() - began);
        offset = end;
    }
}

static void *send_part(void *argument)
{
    struct part *part = argument;
    pthread_barrier_wait(&start);
    part->began = now_ns();
    if (strcmp(way, "appends") == 0) {
        send_appends(part);
    } else {
        bool is_resumable = strcmp(way, "ietf") == 0;
        request(part, "PUT",
                is_resumable ? RESUMABLE "Upload-Complete: ?1\r\nContent-Type: application/zip\r\n"
                             : "Content-Type: application/zip\r\n",
                0, archive_bytes);
        await(part, NULL, 0);
        figures_add(&part->figures, now_ns() - part->began);
    }
    part->ended = now_ns();
    return NULL;
}

int main(int count, char **arguments)
{
    if (count != 5) {
        fprintf(stderr, "usage: send_parts PORT ARCHIVE PIECE whole|ietf|appends < PARTS\n");
        return 64;
    }
    static struct part parts[PARTS_MAX];
    port = atoi(arguments[1]);
    archive_file = archive_open(arguments[2], &archive_bytes);
    piece_bytes = strtoul(arguments[3], NULL, 10);
    way = arguments[4];
    targets = calloc(PARTS_MAX, sizeof *targets);
    if (!targets || !piece_bytes)
        die("the arguments");
    int part_count = 0;
    while (part_count < PARTS_MAX
           && scanf("%511s %511s", targets[part_count].token, targets[part_count].path) == 2) {
        parts[part_count] = (struct part){.number = part_count, .socket = connected()};
        part_count++;
    }
    pthread_barrier_init(&start, NULL, part_count);
    parts_run(parts, part_count, send_part);
    return 0;
}
