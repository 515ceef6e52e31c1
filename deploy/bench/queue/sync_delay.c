/* Runs a command whose every fsync and fdatasync begins late: sync_delay MICROSECONDS COMMAND…
 *
 * The kernel asks this program about each such call (seccomp_unotify(2)) and is told to go on once the
 * time is over. Unlike a preloaded library this reaches programs that are linked statically. Calls of
 * several threads wait side by side, as they would for a disk with a deep queue. SIGTERM and SIGINT
 * are handed on; the exit status is the command's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "figures.h"

#define WAITING_ROOM 65536

static pid_t child;

static void hand_on(int number)
{
    kill(child, number);
}

/* Asks the listener about fsync and fdatasync, from the next call on; returns the listener. */
static int install_filter(void)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fsync, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fdatasync, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof program / sizeof *program, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        die("no_new_privs");
    int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                           &filter);
    if (listener < 0)
        die("seccomp");
    return listener;
}

static void send_descriptor(int channel, int descriptor)
{
    char byte = 0, control[CMSG_SPACE(sizeof descriptor)] = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    if (sendmsg(channel, &message, 0) != 1)
        die("sendmsg");
}

static int receive_descriptor(int channel)
{
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
        die("recvmsg");
    int descriptor;
    memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
    return descriptor;
}

static void supervise(int listener, int64_t delay)
{
    /* All wait equally long: first come, first let go. */
    static struct { uint64_t id; int64_t due; } calls[WAITING_ROOM];
    unsigned first = 0, end = 0;
    while (1) {
        struct timespec pause = {0};
        if (first != end) {
            int64_t rest = calls[first % WAITING_ROOM].due - now_ns();
            if (rest > 0) {
                pause.tv_sec = rest / 1000000000;
                pause.tv_nsec = rest % 1000000000;
            }
        }
        struct pollfd ready = {listener, POLLIN, 0};
        int count = ppoll(&ready, 1, first != end ? &pause : NULL, NULL);
        if (count < 0 && errno != EINTR)
            die("ppoll");
        if (count > 0 && ready.revents & (POLLHUP | POLLERR))
            return;
        if (count > 0 && ready.revents & POLLIN) {
            struct seccomp_notif call;
            memset(&call, 0, sizeof call);
            /* ENOENT: the caller was killed meanwhile. */
            if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) == 0) {
                calls[end % WAITING_ROOM].id = call.id;
                calls[end++ % WAITING_ROOM].due = now_ns() + delay;
                if (end - first > WAITING_ROOM)
                    abort();
            }
        }
        while (first != end && calls[first % WAITING_ROOM].due <= now_ns()) {
            struct seccomp_notif_resp answer = {
                .id = calls[first++ % WAITING_ROOM].id,
                .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE,
            };
            ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "sync_delay MICROSECONDS COMMAND...\n");
        return 2;
    }
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        die("socketpair");
    child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int listener = install_filter();
        send_descriptor(pair[1], listener);
        close(listener);
        execvp(argv[2], argv + 2);
        die(argv[2]);
    }
    signal(SIGTERM, hand_on);
    signal(SIGINT, hand_on);
    supervise(receive_descriptor(pair[0]), strtoll(argv[1], NULL, 10) * 1000);
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            die("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
