"""A network that goes away: a proxy in front of a server that closes connections at told bytes."""

import selectors
import socket
import threading


class CuttingProxy:
    """Forwards connections; at each told count of bytes from clients, in all, it closes the one that brought it."""

    def __init__(self, host="127.0.0.1"):
        self.listener = socket.create_server((host, 0))
        self.address = self.listener.getsockname()
        self.url = f"http://{host}:{self.address[1]}"
        self.lock = threading.Lock()
        self.target = None
        self.cuts = []
        self.forwarded = 0
        self.cut_count = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def forward_to(self, address):
        host, port = address.split(":")
        self.target = host, int(port)
        return self

    def cut_after(self, *counts):
        """Each count is of the bytes from now on."""
        with self.lock:
            self.forwarded = self.cut_count = 0
            self.cuts = sorted(counts)

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def allowed(self, size):
        """How many of so many bytes still pass, and whether the connection goes after them."""
        with self.lock:
            if self.cuts and self.forwarded + size >= self.cuts[0]:
                size = max(0, self.cuts.pop(0) - self.forwarded)
                self.forwarded += size
                self.cut_count += 1
                return size, True
            self.forwarded += size
            return size, False

    def serve(self, client):
        try:
            server = socket.create_connection(self.target, 30)
        except OSError:
            client.close()
            return
        with client, server, selectors.DefaultSelector() as both:
            both.register(client, selectors.EVENT_READ, server)
            both.register(server, selectors.EVENT_READ, client)
            try:
                while all(self.pass_on(key) for key, _ in both.select()):
                    pass
            except OSError:
                pass

    def pass_on(self, key):
        data = key.fileobj.recv(1 << 14)
        is_upstream = key.fileobj.getsockname() == self.address
        size, ends = self.allowed(len(data)) if is_upstream else (len(data), False)
        key.data.sendall(data[:size])
        return bool(data) and not ends

    def close(self):
        # Wakes the thread that accepts.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
