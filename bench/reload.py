"""How long nginx takes from a change of its configuration to a byte's echo."""

import socket
import time

from processes import PATIENCE, free_port

# After a reload nginx's master sleeps for 100 ms before it looks at the next
# one, which is not to be counted.
PAUSE = 0.3


def free_ports(count):
    ports = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def reload_to_first_byte(nginx, listeners):
    """Adds a port to `listeners`; seconds until a byte came back through it."""
    time.sleep(PAUSE)
    port = free_port()
    while port in listeners:
        port = free_port()
    nginx.write([nginx.port, *listeners, port])
    begin = time.monotonic()
    nginx.reload()
    while time.monotonic() < begin + PATIENCE:
        try:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"x")
                if connection.recv(1) == b"x":
                    return time.monotonic() - begin
        except ConnectionRefusedError:
            # Not a busy loop: nginx may be on the same CPU.
            time.sleep(0.0002)
    return nginx.fail(f"port {port} does not answer")
