"""asyncio_protocol.py [--uvloop] ADDR: a line echo with an asyncio Protocol.

The lines of a read are found one by one and answered with one writelines(), which is one system call.
Reading stops while the transport has too much to write.
"""

import asyncio
import sys


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.rest = b""

    def data_received(self, data):
        lines = (self.rest + data).splitlines(keepends=True)
        self.rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        if lines:
            self.transport.writelines(lines)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def main(address):
    host, port = address.rsplit(":", 1)
    server = await asyncio.get_running_loop().create_server(Echo, host, int(port), backlog=1024)
    host, port = server.sockets[0].getsockname()
    print(f"listening on {host}:{port}", flush=True)
    await server.serve_forever()


if "--uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main(sys.argv[-1]))
