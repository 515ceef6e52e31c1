"""Raw sockets: what no HTTP library would send."""

import json
import os
import socket
import time


class Answer:
    """One answer as it came."""

    def __init__(self, data, ended):
        self.raw = data
        self.ended = ended
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1]) if lines[0].startswith("HTTP/1.1 ") else None
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()

    @property
    def problem(self):
        assert self.headers["content-type"] == "application/problem+json", self.raw
        assert len(self.body) >= int(self.headers["content-length"]), self.raw
        return json.loads(self.body[:int(self.headers["content-length"])])


class Raw:
    """One connection; everything that is read is kept."""

    def __init__(self, server, timeout=20, receive_buffer=None, wrap=None):
        host, port = server.device_address.split(":")
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, int(port)))
        if wrap:
            self.socket = wrap(self.socket)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        except (BrokenPipeError, ConnectionResetError):
            pass  # What was answered before can still be read.
        return self

    def receive(self):
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            return b""
        self.data += piece
        return piece

    def until_closed(self):
        """Everything up to the server's end of the connection."""
        while self.receive():
            pass
        return Answer(self.data, True)

    def answer(self):
        """One answer with a length; the connection may go on."""
        while True:
            head, found, rest = self.data.partition(b"\r\n\r\n")
            if found:
                length = 0
                for line in head.decode("latin-1").lower().split("\r\n"):
                    if line.startswith("content-length:"):
                        length = int(line.split(":")[1])
                if len(rest) >= length:
                    size = len(head) + 4 + length
                    whole, self.data = self.data[:size], self.data[size:]
                    return Answer(whole, False)
            if not self.receive():
                return Answer(self.data, True)


def exchange(server, data, **options):
    """Sends bytes and reads to the end of the connection."""
    with Raw(server, **options) as connection:
        return connection.send(data).until_closed()


class Footprint:
    """Descriptors and memory of a server process."""

    def __init__(self, server):
        self.pid = server.process.pid
        self.descriptors = self.count()
        self.memory = self.resident()

    def count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident(self):
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def assert_back(self, seconds=30, spare_descriptors=4, spare_memory=64 << 20):
        """Descriptors are back, and memory has not grown by much."""
        deadline = time.monotonic() + seconds
        while self.count() > self.descriptors + spare_descriptors:
            assert time.monotonic() < deadline, (self.descriptors, self.count())
            time.sleep(0.05)
        assert self.resident() - self.memory < spare_memory
