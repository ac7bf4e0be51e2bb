"""Holds connections to many ports, and sends a byte to each port once a second.

    step_clients.py CONNECTIONS PORT...

It prints `ready` once all are open, and ends with its stdin.
"""

import select
import socket
import sys

import machine

# A second's messages go in so many parts.
PARTS = 100


def main():
    count, *ports = map(int, sys.argv[1:])
    machine.raise_limits()
    connections = [
        socket.create_connection(("127.0.0.1", ports[i % len(ports)]))
        for i in range(count)]
    talkers = connections[:len(ports)]
    print("ready", flush=True)
    part = 0
    while not select.select([0], [], [], 1 / PARTS)[0]:
        some = talkers[part::PARTS]
        for talker in some:
            talker.sendall(b"x")
        for talker in some:
            if talker.recv(1) != b"x":
                sys.exit("no echo")
        part = (part + 1) % PARTS


if __name__ == "__main__":
    main()
