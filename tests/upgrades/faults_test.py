"""faults_test.py CONNECTIONS FAULT.SO: whatever becomes of the process that
takes over, and whenever, the old one goes on with every connection, and has no
descriptor more than before."""

import os
import signal
import sys
import tempfile

from daemon import Daemon, stat_of
from load import Load

# In portreeve/internal/v1/handover.proto.
HELLO, READY, SERVING, ACK = 10, 21, 23, 30
MOST_MESSAGES = 100


class Faults:

    def __init__(self, folder, count, preload):
        self.preload = preload
        self.daemon = Daemon(folder, "--loops", "3")
        self.load = Load(self.daemon, count)
        self.num_failed = 0

    def script(self, fault):
        return (f"export LD_PRELOAD={self.preload} UPGRADE_FAULT='{fault}'\n"
                'exec $PROGRAM "$@"')

    def begin(self, fault):
        """Begins an upgrade to a process with that fault."""
        self.daemon.next_program(self.script(fault))
        self.inodes = self.load.inodes()
        self.descriptors = self.load.descriptors_at_rest()
        self.daemon.ask_for_upgrade()

    def end(self, fault, says=""):
        """Gives whether it has failed; then nothing has happened."""
        load, daemon = self.load, self.daemon
        line = load.until_upgraded()
        if "upgrade: process " in line:
            daemon.note_upgrade(line)
            load.until_alone()
        else:
            assert says in line, (fault, line)
            self.num_failed += 1
            daemon.forget_program()
            load.loop.run_until(lambda: not daemon.children(), "its death")
            after = load.descriptors_at_rest()
            assert after == self.descriptors, (fault, self.descriptors, after)
            print(f"{fault}: {line.split('goes on as it was: ')[1]}",
                  flush=True)
        load.expect_same(self.inodes)
        load.until_more()
        return "upgrade: process " not in line

    def fails(self, fault, says=""):
        self.begin(fault)
        assert self.end(fault, says), fault

    def of_every_message(self, action):
        """The action once it has one message, two, and so on; to the one that
        is none any more."""
        for number in range(1, MOST_MESSAGES):
            fault = f"received {number} {action}"
            self.begin(fault)
            if not self.end(fault):
                assert number > 4, f"only {number} messages"
                return
        raise AssertionError("it never goes over")

    def stops(self, kind, goes_on):
        fault = f"sends {kind} stop"
        self.begin(fault)
        daemon, loop = self.daemon, self.load.loop

        def stopped():
            return [pid for pid in daemon.children()
                    if stat_of(pid)[:1] == ["T"]]

        loop.run_until(stopped, "that it stops")
        child, = stopped()
        if goes_on:
            os.kill(child, signal.SIGCONT)
            assert not self.end(fault), fault
            return
        assert self.end(fault), fault
        # It is not there to go on.
        try:
            os.kill(child, signal.SIGCONT)
        except ProcessLookupError:
            return
        raise AssertionError(f"process {child} is there")

    def run(self):
        load = self.load
        load.until_more()
        for kind in (HELLO, ACK, READY, SERVING):
            self.fails(f"sends {kind} kill")
        self.fails(f"sends {HELLO} version", "speaks versions 99 to 99")
        for kind in (READY, SERVING):
            self.stops(kind, goes_on=False)
            self.stops(kind, goes_on=True)
        self.of_every_message("kill")
        self.of_every_message("descriptors")
        self.of_memory()
        load.finish()
        print(f"{self.num_failed} upgrades failed, "
              f"{len(self.daemon.pids) - 1} did not", flush=True)
        self.daemon.end(load.loop)

    def of_memory(self):
        """How much it has left at each message, nobody knows: it fails, or goes
        on."""
        for number in range(1, 16):
            fault = f"received {number} memory"
            self.begin(fault)
            self.end(fault)


def main():
    with tempfile.TemporaryDirectory() as folder:
        faults = Faults(folder, int(sys.argv[1]), os.path.abspath(sys.argv[2]))
        try:
            faults.run()
        finally:
            faults.daemon.kill()


if __name__ == "__main__":
    main()
