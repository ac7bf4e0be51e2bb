"""upgrades_test.py CONNECTIONS UPGRADES LOOPS...: a daemon is upgraded so many
times while clients of every kind go on; with so many loops, one number after
the other, and the first one again after the last.

None is refused, none is reset, every byte comes, the kernel's sockets are the
same ones in the end, and whoever watches, or reads the access log, sees each
connection once.
"""

import collections
import itertools
import json
import sys
import tempfile

from daemon import Daemon
from load import Load

# A shell's: its arguments, with another number of loops.
CHANGE_LOOPS = """
for a; do
  shift
  [ "$last" = --loops ] && a=%s
  last=$a
  set -- "$@" "$a"
done
exec $PROGRAM "$@"
"""
LAST = "the-last"


class Watch:
    """All events, as a client has them that joins again by itself."""

    def __init__(self, daemon, folder):
        self.path = folder + "/events"
        with open(self.path, "wb") as file:
            self.process = daemon.start_cli("watch", "--from-revision", "1",
                                            out=file)

    def read(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    def check(self, load):
        load.daemon.create(load.loop, LAST, "tcp:127.0.0.1:0", "--echo")
        load.loop.run_until(lambda: LAST in self.read(), "the last event")
        self.kill()
        events = [json.loads(line) for line in self.read().splitlines()]
        revisions = [int(event["revision"]) for event in events]
        assert revisions == list(range(1, len(events) + 1)), "a hole"
        seen = {}
        for kind in ("connectionAccepted", "connectionClosed"):
            seen[kind] = collections.Counter(
                event[kind]["connection"]["name"] for event in events
                if kind in event)
            assert set(seen[kind].values()) == {1}, kind
        assert seen["connectionAccepted"] == seen["connectionClosed"]
        return len(events)

    def kill(self):
        self.process.kill()
        self.process.wait()


def check_access_log(path, load):
    """One line of each connection, with all of its bytes."""
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert {line["event"] for line in lines} == {"close"}
    names = collections.Counter(line["connection"] for line in lines)
    assert set(names.values()) == {1}, names.most_common(3)
    by_peer = {(line["listener"], line["peer"]): line for line in lines}
    for link in load.held:
        if not isinstance(link.client_name, tuple):
            continue  # Those of unix sockets have no names.
        line = by_peer[link.listener, "%s:%d" % link.client_name]
        assert line["received"] == link.client.sent, line
        assert line["sent"] == link.client.received, line
        assert ("connect" in line) == link.is_forward, line
        assert ("upstream" in line) == link.is_forward, line
    # Of these one may have had the port of another before it.
    flushed = collections.Counter(
        (line["listener"], line["peer"], line["sent"]) for line in lines
        if line["reason"] == "CALLED")
    assert flushed == collections.Counter(
        (listener, "%s:%d" % name, size)
        for listener, name, size in load.flushed), flushed
    return len(lines)


def run(folder, count, upgrades, loops):
    numbers = itertools.cycle(loops)
    access_log = folder + "/access"
    daemon = Daemon(folder, "--loops", next(numbers), "--access-log",
                    access_log)
    watch = Watch(daemon, folder)
    try:
        load = Load(daemon, count)
        load.until_more()
        for _ in range(upgrades):
            number = next(numbers)
            daemon.next_program(CHANGE_LOOPS % number)
            load.begin_round()
            before, line = load.upgrade(reset_in_the_midst=True)
            load.end_round()
            load.until_alone()
            load.expect_same(before)
            load.until_more()
            words = daemon.arguments()
            assert words[words.index("--loops") + 1] == number, words
            print(line, flush=True)
        load.finish()
        num_events = watch.check(load)
        num_bytes = sum(end.received for link in load.held
                        for end in link.ends())
        daemon.end(load.loop)
        num_lines = check_access_log(access_log, load)
        print(f"{upgrades} upgrades with {loops} loops: "
              f"{load.num_shorts()} short connections, {num_bytes} bytes, "
              f"{num_events} events, {num_lines} lines, "
              f"{load.most_frozen} ms of standing still at most", flush=True)
    finally:
        watch.kill()
        daemon.kill()


def main():
    count, upgrades = int(sys.argv[1]), int(sys.argv[2])
    for loops in sys.argv[3:]:
        with tempfile.TemporaryDirectory() as folder:
            run(folder, count, upgrades, loops.split(","))


if __name__ == "__main__":
    main()
