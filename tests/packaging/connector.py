"""connector.py PORT N: connects N times to an echo server on loopback, once after
the other, and prints what came of each, a line each."""

import socket
import sys

TIMEOUT = 60
TEXT = b"is anybody there\n"


def outcome(port):
    try:
        client = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    except OSError as error:
        return f"refused: {error}"
    with client:
        try:
            client.sendall(TEXT)
            with client.makefile("rb") as file:
                return "served" if file.readline() == TEXT else "ended"
        except ConnectionError:
            return "ended"  # It was accepted, and then came the SIGKILL.


def main(port, times):
    for _ in range(times):
        print(outcome(port), flush=True)


main(*map(int, sys.argv[1:3]))
