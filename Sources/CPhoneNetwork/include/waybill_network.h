// Linux network namespaces and TUN devices: calls that Swift's Glibc module does not have.
#ifndef WAYBILL_NETWORK_H
#define WAYBILL_NETWORK_H

/// Moves the calling thread into a network namespace of its own, without any device that is up.
/// Returns a descriptor that keeps the namespace, or -1 with errno (namespaces(7), unshare(2)).
int waybill_network_leave(void);

/// Moves the calling thread into the namespace of a descriptor; sockets it makes from now on are
/// there. Returns 0, or -1 with errno (setns(2)).
int waybill_network_enter(int descriptor);

/// Makes a TUN device in the calling thread's namespace. It goes when the descriptor is closed, which
/// does not block. Returns the descriptor, or -1 with errno (linux/Documentation/networking/tuntap).
int waybill_tun_open(const char *name);

#endif
