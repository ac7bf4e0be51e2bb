"""All rows, in the order of the table."""

from idle_row import IdleCpuRow
from rows import (FirstByteRow, FloodRow, GrpcRow, LoggedRow, LoneEventRow,
                  MemoryRow, TcpRow, WatchedRow)
from state_rows import StateChangeRow, StateIdleRow, StateStartRow

ONE = ("--connections", 1)
MANY = ("--connections", 64)
BULK = ("--connections", 4)
SHORT_FIN = (*MANY, "--end", "fin")
SHORT_RST = (*MANY, "--end", "rst")
FLOOD = ("--connections", 16, "--period", 2000, "--clients", 8)
MIB = 1 << 20


def forward(name, title, mode, flags, units, goal=None, placement="same",
            kind=TcpRow):
    return kind(name, f"forward, {title}, {placement}", baseline="haproxy",
                goal=goal, handler="forward", placement=placement, mode=mode,
                flags=flags, units=units)


def echo(name, title, mode, flags, units, goal=None, placement="same",
         watchers=0):
    return TcpRow(name, f"echo, {title}, {placement}", baseline="raw",
                  goal=goal, handler="echo", placement=placement, mode=mode,
                  flags=flags, units=units, watchers=watchers)


ROWS = (
    # Those with goals.
    forward("forward_bulk", "bulk, 4 connections", "bulk", BULK, 1000, 0.50,
            "split"),
    forward("forward_rr", "request/response, 64 connections", "rr", MANY,
            30000, 0.88),
    forward("forward_short", "short connections", "short", SHORT_FIN, 8000,
            0.90),
    echo("echo_rr", "request/response, 64 connections", "rr", MANY, 60000,
         1.08),
    echo("echo_short", "short connections, one watcher", "short", SHORT_FIN,
         15000, 1.10, watchers=1),
    echo("echo_bulk", "bulk, 4 connections", "bulk", BULK, 2000, 1.10, "split"),
    WatchedRow("watched", "echo, short connections, 8 watchers, same",
               goal=1.25, mode="short", flags=SHORT_FIN, units=10000,
               watchers=8),
    LoggedRow("logged", "forward, short connections, access log, same",
              goal=0.90, mode="short", flags=SHORT_FIN, units=8000),
    MemoryRow("echo_memory", "idle connection, echo", goal=800),
    MemoryRow("forward_memory", "idle connection, forward", goal=1000,
              handler="forward"),
    IdleCpuRow("idle", "4000 idle connections and a watcher", goal=1,
               process_goal=1.1),
    *(forward(f"flood_{placement}", "clients beside an abort flood", "flood",
              FLOOD, 10000, 1.05, placement, FloodRow)
      for placement in ("same", "split")),
    GrpcRow("control", "create and close a listener, 16 in flight", goal=1.33,
            subject=("control", "--warm-up", 1200), bare=("unary",), calls=2,
            limits=(("grpc with sockets", ("sockets",)),
                    ("grpc with a loop", ("sockets", "--on-loop"))),
            work="--calls", units=2000),
    FirstByteRow("first_byte", "create to first byte, 1000 listeners open",
                 baseline="nginx", goal=1 / 30),
    FirstByteRow("first_byte_5000", "create to first byte, 5000 listeners open",
                 baseline="1000 open", listeners=5000, reloads=None, fewer=1000),
    LoneEventRow("lone_event", "a lone event, until a watcher has it", goal=10),
    GrpcRow("remote", "remote handler, bulk, 32 KiB messages", "us CPU/MiB",
            goal=1.3, subject=("remote", "--message", 32768),
            bare=("bidi", "--message", 32768), work="--bytes", units=256 * MIB,
            unit_size=MIB),
    StateChangeRow("state", "create and close with a state, 16 in flight",
                   goal=1.3, syncs_goal=0.3),
    StateIdleRow("state_idle", "4000 idle connections with a state: wake-ups",
                 goal=0),
    StateStartRow("state_start", "start with 5000 listeners of the state",
                  goal=1.0),
    # The same work elsewhere, and other work.
    forward("forward_rr_1", "request/response, 1 connection", "rr", ONE, 15000),
    forward("forward_short_rst", "short connections, reset", "short",
            SHORT_RST, 8000),
    forward("forward_rr_split", "request/response, 64 connections", "rr", MANY,
            30000, placement="split"),
    forward("forward_short_split", "short connections", "short", SHORT_FIN,
            8000, placement="split"),
    forward("forward_bulk_same", "bulk, 4 connections", "bulk", BULK, 500),
    echo("echo_rr_1", "request/response, 1 connection", "rr", ONE, 30000),
    echo("echo_short_rst", "short connections, reset", "short", SHORT_RST,
         15000),
    echo("echo_rr_split", "request/response, 64 connections", "rr", MANY,
         60000, placement="split"),
    echo("echo_short_split", "short connections", "short", SHORT_FIN, 15000,
         placement="split"),
    echo("echo_bulk_same", "bulk, 4 connections", "bulk", BULK, 1000),
)
