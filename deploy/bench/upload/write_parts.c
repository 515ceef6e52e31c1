/* Writes parts and syncs them, and does nothing else:
 * write_parts DIRECTORY ARCHIVE COUNT PIECE whole|appends memory|socket
 *
 * Each of COUNT threads writes the archive's bytes to a file of its own in pieces. `whole` syncs once,
 * at the end; `appends` syncs each piece before it takes the next. From `memory` the bytes are there;
 * from a `socket` another thread sends them over loopback and waits for one byte in place of an answer.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "parts.h"

static const char *directory;
static char *archive;
static int archive_file;
static size_t archive_bytes, piece_bytes;
static bool syncs_pieces;
static int part_count;
static pthread_barrier_t start;

static void path_of(const struct part *part, char *path, size_t room)
{
    if ((size_t)snprintf(path, room, "%s/part-%d", directory, part->number) >= room)
        die("the path");
}

static size_t piece_at(size_t offset)
{
    return archive_bytes - offset < piece_bytes ? archive_bytes - offset : piece_bytes;
}

static void write_piece(int file, const char *bytes, size_t count, size_t offset)
{
    for (size_t done = 0; done < count;) {
        ssize_t written = pwrite(file, bytes + done, count - done, offset + done);
        if (written <= 0)
            die("pwrite");
        done += written;
    }
}

static void receive(int socket, char *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t got = recv(socket, bytes + done, count - done, 0);
        if (got <= 0)
            die("recv");
        done += got;
    }
}

static void sync_file(int file)
{
    if (fdatasync(file) != 0)
        die("fdatasync");
}

static void answer(const struct part *part)
{
    if (part->socket >= 0 && send(part->socket, "+", 1, MSG_NOSIGNAL) != 1)
        die("send");
}

static void *write_part(void *argument)
{
    struct part *part = argument;
    char path[4096], *room = malloc(piece_bytes);
    path_of(part, path, sizeof path);
    if (!room)
        die("malloc");
    pthread_barrier_wait(&start);
    part->began = now_ns();
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (file < 0)
        die(path);
    for (size_t offset = 0; offset < archive_bytes;) {
        int64_t began = now_ns();
        size_t count = piece_at(offset);
        if (part->socket >= 0)
            receive(part->socket, room, count);
        write_piece(file, part->socket >= 0 ? room : archive + offset, count, offset);
        offset += count;
        if (!syncs_pieces)
            continue;
        sync_file(file);
        answer(part);
        figures_add(&part->figures, now_ns() - began);
    }
    if (!syncs_pieces) {
        sync_file(file);
        answer(part);
        figures_add(&part->figures, now_ns() - part->began);
    }
    part->ended = now_ns();
    close(file);
    free(room);
    return NULL;
}

/* The other end of a part's socket. */
static void *send_part(void *argument)
{
    int socket = (int)(intptr_t)argument;
    off_t offset = 0;
    pthread_barrier_wait(&start);
    while ((size_t)offset < archive_bytes) {
        size_t end = syncs_pieces ? offset + piece_at(offset) : archive_bytes;
        while ((size_t)offset < end)
            if (sendfile(socket, archive_file, &offset, end - offset) <= 0)
                die("sendfile");
        char byte;
        receive(socket, &byte, 1);
    }
    close(socket);
    return NULL;
}

static void connect_part(struct part *part, pthread_t *sender)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t room = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    int sending = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) != 0
        || listen(listening, 1) != 0 || getsockname(listening, (struct sockaddr *)&address, &room) != 0
        || connect(sending, (struct sockaddr *)&address, sizeof address) != 0
        || (part->socket = accept(listening, NULL, NULL)) < 0)
        die("loopback");
    setsockopt(sending, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(part->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    close(listening);
    if (pthread_create(sender, NULL, send_part, (void *)(intptr_t)sending) != 0)
        die("pthread_create");
}

int main(int count, char **arguments)
{
    if (count != 7) {
        fputs("usage: write_parts DIRECTORY ARCHIVE COUNT PIECE whole|appends memory|socket\n",
              stderr);
        return 64;
    }
    static struct part parts[PARTS_MAX];
    static pthread_t senders[PARTS_MAX];
    directory = arguments[1];
    part_count = atoi(arguments[3]);
    piece_bytes = strtoul(arguments[4], NULL, 10);
    syncs_pieces = strcmp(arguments[5], "appends") == 0;
    bool has_socket = strcmp(arguments[6], "socket") == 0;
    archive_file = archive_open(arguments[2], &archive_bytes);
    archive = malloc(archive_bytes);
    if (part_count < 1 || part_count > PARTS_MAX || !piece_bytes || !archive)
        die("the arguments");
    for (size_t done = 0; done < archive_bytes;) {
        ssize_t got = pread(archive_file, archive + done, archive_bytes - done, done);
        if (got <= 0)
            die("pread");
        done += got;
    }
    pthread_barrier_init(&start, NULL, has_socket ? 2 * part_count : part_count);
    for (int i = 0; i < part_count; i++) {
        parts[i] = (struct part){.number = i, .socket = -1};
        if (has_socket)
            connect_part(&parts[i], &senders[i]);
    }
    parts_run(parts, part_count, write_part);
    for (int i = 0; i < part_count; i++) {
        char path[4096];
        if (has_socket)
            pthread_join(senders[i], NULL);
        path_of(&parts[i], path, sizeof path);
        unlink(path);
    }
    return 0;
}
