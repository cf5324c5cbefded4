"""asyncio_streams.py ADDR: a line echo with asyncio streams, line by line."""

import asyncio
import sys


async def echo(reader, writer):
    try:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main(address):
    host, port = address.rsplit(":", 1)
    server = await asyncio.start_server(echo, host, int(port), backlog=1024)
    host, port = server.sockets[0].getsockname()
    print(f"listening on {host}:{port}", flush=True)
    await server.serve_forever()


asyncio.run(main(sys.argv[-1]))
