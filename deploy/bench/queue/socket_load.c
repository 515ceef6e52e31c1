/* Clients of a queue over TCP: socket_load PROTOCOL PORT CONNECTIONS BYTES SECONDS
 *
 * PROTOCOL is front (see Tests/queuebench/Front.swift), beanstalkd or nats. Each connection has one
 * message on its way: it sends the next one when the server has confirmed the last. One thread, so
 * that what is left of the machine is the server's.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "figures.h"

#define REPLY_ROOM 4096

struct connection {
    int socket;
    char *request;
    size_t request_bytes, sent;
    char reply[REPLY_ROOM];
    size_t received;
    int64_t began;
    int is_watched_for_room;
};

struct protocol {
    const char *name;
    /* Does what comes before the first message, in blocking mode; makes the request. */
    void (*prepare)(struct connection *connection, int number, size_t bytes);
    /* Bytes of a whole reply at the beginning of `reply`, 0 if it is not whole; sets `confirmed`. */
    size_t (*parse)(struct connection *connection, int *confirmed);
};

static void refuse(const char *what, const struct connection *connection)
{
    fprintf(stderr, "socket_load: %s: %.*s\n", what, (int)connection->received, connection->reply);
    exit(1);
}

static char *room(size_t bytes)
{
    char *memory = malloc(bytes);
    if (!memory)
        die("malloc");
    return memory;
}

/* A request of text, the message, and an end. */
static void frame(struct connection *connection, const char *head, size_t head_bytes, size_t bytes,
                  const char *end)
{
    connection->request_bytes = head_bytes + bytes + strlen(end);
    connection->request = room(connection->request_bytes);
    memcpy(connection->request, head, head_bytes);
    memset(connection->request + head_bytes, 'x', bytes);
    memcpy(connection->request + head_bytes + bytes, end, strlen(end));
}

static void send_text(struct connection *connection, const char *text)
{
    size_t count = strlen(text);
    if (send(connection->socket, text, count, MSG_NOSIGNAL) != (ssize_t)count)
        die("send");
}

/* Bytes up to and with the next line feed; 0 if there is none yet. */
static size_t line(const struct connection *connection)
{
    const char *end = memchr(connection->reply, '\n', connection->received);
    return end ? end - connection->reply + 1 : 0;
}

static int begins(const struct connection *connection, const char *text)
{
    size_t count = strlen(text);
    return connection->received >= count && memcmp(connection->reply, text, count) == 0;
}

/* The front */

static void prepare_front(struct connection *connection, int number, size_t bytes)
{
    (void)number;
    uint32_t length = htonl(bytes);
    frame(connection, (char *)&length, sizeof length, bytes, "");
}

static size_t parse_front(struct connection *connection, int *confirmed)
{
    if (connection->reply[0] != '+')
        refuse("refused", connection);
    *confirmed = 1;
    return 1;
}

/* beanstalkd */

static void prepare_beanstalkd(struct connection *connection, int number, size_t bytes)
{
    (void)number;
    char head[64];
    int count = snprintf(head, sizeof head, "put 0 0 60 %zu\r\n", bytes);
    frame(connection, head, count, bytes, "\r\n");
}

static size_t parse_beanstalkd(struct connection *connection, int *confirmed)
{
    size_t count = line(connection);
    if (!count)
        return 0;
    if (!begins(connection, "INSERTED "))
        refuse("not inserted", connection);
    *confirmed = 1;
    return count;
}

/* NATS */

static size_t parse_nats(struct connection *connection, int *confirmed)
{
    size_t count = line(connection);
    if (!count)
        return 0;
    if (begins(connection, "MSG ")) {
        size_t end = count;
        while (end && connection->reply[end - 1] != ' ')
            end--;
        size_t whole = count + strtoul(connection->reply + end, NULL, 10) + 2;
        if (connection->received < whole)
            return 0;
        if (memmem(connection->reply + count, whole - count, "\"error\"", 7))
            refuse("not stored", connection);
        *confirmed = 1;
        return whole;
    }
    if (begins(connection, "PING"))
        send_text(connection, "PONG\r\n");
    else if (!begins(connection, "INFO") && !begins(connection, "PONG") && !begins(connection, "+OK"))
        refuse("unexpected", connection);
    return count;
}

static void await(struct connection *connection)
{
    int confirmed = 0;
    while (!confirmed) {
        ssize_t count = recv(connection->socket, connection->reply + connection->received,
                             REPLY_ROOM - connection->received, 0);
        if (count <= 0)
            die("recv");
        connection->received += count;
        while (connection->received && (count = parse_nats(connection, &confirmed)) > 0) {
            connection->received -= count;
            memmove(connection->reply, connection->reply + count, connection->received);
        }
    }
}

static void prepare_nats(struct connection *connection, int number, size_t bytes)
{
    static const char stream[] =
        "{\"name\":\"BENCH\",\"subjects\":[\"bench\"],\"storage\":\"file\",\"num_replicas\":1,"
        "\"retention\":\"limits\",\"max_msgs\":-1,\"max_bytes\":-1}";
    char text[1024];
    snprintf(text, sizeof text,
             "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB r.%d 1\r\n", number);
    send_text(connection, text);
    if (number == 0) {
        snprintf(text, sizeof text, "PUB $JS.API.STREAM.CREATE.BENCH r.0 %zu\r\n%s\r\n",
                 sizeof stream - 1, stream);
        send_text(connection, text);
        await(connection);
    }
    int count = snprintf(text, sizeof text, "PUB bench r.%d %zu\r\n", number, bytes);
    frame(connection, text, count, bytes, "\r\n");
}

static const struct protocol protocols[] = {
    {"front", prepare_front, parse_front},
    {"beanstalkd", prepare_beanstalkd, parse_beanstalkd},
    {"nats", prepare_nats, parse_nats},
};

/* The loop */

static void watch(int poll, int operation, struct connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(poll, operation, connection->socket, &event) != 0)
        die("epoll_ctl");
}

static void send_rest(int poll, struct connection *connection)
{
    while (connection->sent < connection->request_bytes) {
        ssize_t count = send(connection->socket, connection->request + connection->sent,
                             connection->request_bytes - connection->sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN)
            break;
        if (count < 0)
            die("send");
        connection->sent += count;
    }
    int wants_room = connection->sent < connection->request_bytes;
    if (wants_room != connection->is_watched_for_room) {
        watch(poll, EPOLL_CTL_MOD, connection, wants_room ? EPOLLIN | EPOLLOUT : EPOLLIN);
        connection->is_watched_for_room = wants_room;
    }
}

static void begin(int poll, struct connection *connection, int64_t now)
{
    connection->began = now;
    connection->sent = 0;
    send_rest(poll, connection);
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return descriptor;
}

static void receive(const struct protocol *protocol, int poll, struct connection *connection,
                    struct figures *figures, int64_t counted_from, int64_t ends)
{
    ssize_t count = recv(connection->socket, connection->reply + connection->received,
                         REPLY_ROOM - connection->received, 0);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0)
        refuse("the server hung up", connection);
    connection->received += count;
    size_t used;
    int confirmed = 0;
    while (connection->received && (used = protocol->parse(connection, &confirmed)) > 0) {
        connection->received -= used;
        memmove(connection->reply, connection->reply + used, connection->received);
    }
    if (!confirmed)
        return;
    int64_t now = now_ns();
    if (now >= counted_from && now <= ends)
        figures_add(figures, now - connection->began);
    begin(poll, connection, now);
}

int main(int argc, char **argv)
{
    const struct protocol *protocol = NULL;
    for (size_t i = 0; argc == 6 && i < sizeof protocols / sizeof *protocols; i++)
        if (strcmp(argv[1], protocols[i].name) == 0)
            protocol = &protocols[i];
    if (!protocol) {
        fprintf(stderr, "socket_load front|beanstalkd|nats PORT CONNECTIONS BYTES SECONDS\n");
        return 2;
    }
    int count = atoi(argv[3]), poll = epoll_create1(EPOLL_CLOEXEC);
    size_t bytes = strtoul(argv[4], NULL, 10);
    double seconds = atof(argv[5]);
    struct connection *connections = calloc(count, sizeof *connections);
    if (poll < 0 || !connections)
        die("epoll");
    for (int i = 0; i < count; i++) {
        connections[i].socket = connect_to(atoi(argv[2]));
        protocol->prepare(&connections[i], i, bytes);
        if (fcntl(connections[i].socket, F_SETFL, O_NONBLOCK) != 0)
            die("fcntl");
        watch(poll, EPOLL_CTL_ADD, &connections[i], EPOLLIN);
    }
    struct figures figures = {0};
    int64_t counted_from = now_ns() + WARM_UP_NS, ends = counted_from + (int64_t)(seconds * 1e9);
    for (int i = 0; i < count; i++)
        begin(poll, &connections[i], now_ns());
    while (now_ns() < ends) {
        struct epoll_event events[256];
        int ready = epoll_wait(poll, events, 256, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                send_rest(poll, connection);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive(protocol, poll, connection, &figures, counted_from, ends);
        }
    }
    figures_print(&figures, seconds);
    return 0;
}
