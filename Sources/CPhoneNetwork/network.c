#define _GNU_SOURCE
#include "waybill_network.h"

#include <errno.h>

#if defined(__linux__)

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int waybill_network_leave(void) {
    if (unshare(CLONE_NEWNET) != 0) return -1;
    return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

int waybill_network_enter(int descriptor) {
    return setns(descriptor, CLONE_NEWNET);
}

int waybill_tun_open(const char *name) {
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device < 0) return -1;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(device, TUNSETIFF, &request) != 0) {
        int reason = errno;
        close(device);
        errno = reason;
        return -1;
    }
    return device;
}

#else

int waybill_network_leave(void) {
    errno = ENOSYS;
    return -1;
}

int waybill_network_enter(int descriptor) {
    (void)descriptor;
    errno = ENOSYS;
    return -1;
}

int waybill_tun_open(const char *name) {
    (void)name;
    errno = ENOSYS;
    return -1;
}

#endif
