"""A name server that can fall silent, and the file that leads to it."""

import socket
import struct
import subprocess
import threading

TYPE_A = 1
ADDRESS = "127.0.0.53"


class NameServer:
    """Says of each name that it is 127.0.0.1, and has no other address.

    /etc/resolv.conf is its own in the mount namespace of this process, port
    53 in its network namespace: see run.sh.
    """

    def __init__(self, folder):
        path = f"{folder}/resolv.conf"
        with open(path, "w") as file:
            file.write(f"nameserver {ADDRESS}\n")
        subprocess.run(["mount", "--bind", path, "/etc/resolv.conf"],
                       check=True)
        self.silent = False
        self.unanswered = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((ADDRESS, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, client = self._socket.recvfrom(4096)
            if self.silent:
                self.unanswered += 1
                continue
            self._socket.sendto(self._answer(query), client)

    @staticmethod
    def _answer(query):
        end = query.index(b"\0", 12) + 5  # Behind the type and the class.
        (kind,) = struct.unpack(">H", query[end - 4:end - 2])
        found = kind == TYPE_A
        header = query[:2] + struct.pack(">HHHHH", 0x8180, 1, int(found), 0, 0)
        record = struct.pack(">HHHIH4s", 0xC00C, TYPE_A, 1, 0, 4,
                             socket.inet_aton("127.0.0.1"))
        return header + query[12:end] + (record if found else b"")
