"""Runs the echo example and talks to it as a stranger would: plain sockets, odd chunks, a signal."""

import random
import signal
import socket
import subprocess
import sys
import threading

PEERS = 50
LINES = 200


def main(binary):
    server = subprocess.Popen([binary, "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        first = server.stdout.readline().strip()
        assert first.startswith("listening on "), first
        host, port = first.removeprefix("listening on ").rsplit(":", 1)
        failures = []
        peers = [
            threading.Thread(target=peer, args=((host, int(port)), seed, failures))
            for seed in range(PEERS)
        ]
        for thread in peers:
            thread.start()
        for thread in peers:
            thread.join(60)
            assert not thread.is_alive(), "a peer hangs"
        assert not failures, failures
        stays = socket.create_connection((host, int(port)), timeout=10)
        stays.sendall(b"half a li")
        server.send_signal(signal.SIGTERM)
        assert stays.recv(1) == b"", "the peer must see the end"
        stays.close()
        rest, _ = server.communicate(timeout=20)
        assert server.returncode == 0, server.returncode
        assert f"{PEERS + 1} accepted" in rest, rest
        assert f"{PEERS + 1} closed" in rest, rest
        print(f"{PEERS} peers, {LINES} lines each, echoed byte for byte; {rest.strip()}")
    finally:
        server.kill()


def peer(address, seed, failures):
    try:
        chance = random.Random(seed)
        lines = [
            bytes(chance.choices(range(32, 127), k=chance.randrange(120)))
            + chance.choice([b"\n", b"\r\n"])
            for _ in range(LINES)
        ]
        script = b"".join(lines)
        with socket.create_connection(address, timeout=20) as stream:
            threading.Thread(target=send, args=(stream, script, chance), daemon=True).start()
            received = b""
            while len(received) < len(script):
                chunk = stream.recv(65536)
                assert chunk, "the server ended too early"
                received += chunk
            assert received == script, "not the same bytes"
    except Exception as error:  # reported by the main thread
        failures.append(f"peer {seed}: {error!r}")


def send(stream, script, chance):
    while script:
        size = chance.randrange(1, 700)
        stream.sendall(script[:size])
        script = script[size:]


main(sys.argv[1])
