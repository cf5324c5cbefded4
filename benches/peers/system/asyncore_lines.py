"""asyncore_lines.py ADDR: a line echo with asyncore, as its documentation's EchoHandler is.

For Python before 3.12, which has no asyncore any more. It uses poll(), as select() ends at 1,024
descriptors, and accepts all peers that wait, since each turn costs as much as there are connections.
asyncore has no back-pressure.
"""

import sys
import warnings

warnings.simplefilter("ignore", DeprecationWarning)

import asyncore
import socket


class Echo(asyncore.dispatcher_with_send):
    rest = b""

    def handle_read(self):
        lines = (self.rest + self.recv(8192)).splitlines(keepends=True)
        self.rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            self.send(line)


class Listener(asyncore.dispatcher):
    def __init__(self, address):
        super().__init__()
        host, port = address.rsplit(":", 1)
        self.create_socket()
        self.bind((host, int(port)))
        self.listen(1024)

    def handle_accept(self):
        while (pair := self.accept()) is not None:
            stream, _ = pair
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Echo(stream)


listener = Listener(sys.argv[-1])
host, port = listener.socket.getsockname()
print(f"listening on {host}:{port}", flush=True)
asyncore.loop(use_poll=True)
