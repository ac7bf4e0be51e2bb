"""The rows of the table: what is measured, beside whom, and the goal."""

import dataclasses

ECHO_SERVERS = ("portreeve", "raw", "asio")
FORWARD_SERVERS = (
    "portreeve", "haproxy", "nginx", "haproxy-splice", "raw", "asio")


@dataclasses.dataclass(frozen=True)
class CpuRow:
    """Server CPU per unit of work, as a ratio to a peer's."""
    name: str
    title: str
    # "echo" or "forward".
    handler: str
    # "same": all on one CPU; "split": the server on one, the rest on the other.
    placement: str
    mode: str
    flags: tuple
    units: int
    # The peer that the goal is relative to, and the most that is allowed.
    baseline: str
    goal: float | None = None
    watchers: int = 0

    @property
    def servers(self):
        return ECHO_SERVERS if self.handler == "echo" else FORWARD_SERVERS


RR = ("--connections", 64)
SHORT = ("--connections", 64)
BULK = ("--connections", 4)

ROWS = (
    CpuRow("forward_bulk", "forward, bulk, 4 connections", "forward", "split",
           "bulk", BULK, 1000, "haproxy", 0.50),
    CpuRow("forward_rr", "forward, request/response, 64 connections",
           "forward", "same", "rr", RR, 30000, "haproxy", 0.88),
    CpuRow("forward_short", "forward, short connections", "forward", "same",
           "short", SHORT, 8000, "haproxy", 0.90),
    CpuRow("echo_rr", "echo, request/response, 64 connections", "echo", "same",
           "rr", RR, 60000, "raw", 1.08),
    CpuRow("echo_short", "echo, short connections, one watcher", "echo", "same",
           "short", SHORT, 15000, "raw", 1.10, watchers=1),
    CpuRow("echo_bulk", "echo, bulk, 4 connections", "echo", "split", "bulk",
           BULK, 1000, "raw", 1.10),
)
