"""Runs the tour of README.md as a reader pastes it, and compares the output.

The blocks ```sh tour run one after the other in one bash, the block ```sh watch
beside it.  What they print has to be what the ```text block after them shows,
but for numbers, times, ids and the width of columns.
"""

import argparse
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading

DEADLINE_SECONDS = 60
END_OF_BLOCK = "--- end of block ---"


def blocks_of(readme):
    """The fenced blocks, as (info string, text)."""
    return re.findall(r"^```(.+?)\n(.*?)^```$", readme, re.M | re.S)


def normalized(text):
    """The text without what differs from run to run."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"duration=\S+", "duration=TIME", text)
    text = re.sub(r"connections/\w+", "connections/ID", text)
    text = re.sub(r"\d+", "N", text)
    lines = [re.sub(r"\s+", " ", line).strip() for line in text.splitlines()]
    return [line for line in lines if line]


class Tour:
    def __init__(self, folder, daemon, client):
        # As the reader's checkout looks after the build.
        program = folder / "bazel-bin" / "client" / "portreeve"
        program.parent.mkdir(parents=True)
        program.symlink_to(client)
        self.folder = folder
        self.daemon = subprocess.Popen(
            [daemon, "--control", "tcp:127.0.0.1:0"],
            stdout=subprocess.PIPE, text=True)
        control = self.daemon.stdout.readline().split()[-1]
        assert self.daemon.stdout.readline() == "portreeved: ready\n"
        self.environment = dict(os.environ, PORTREEVE_SERVER=control)
        self.shell = self.bash(stdin=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.watch = None

    def bash(self, **options):
        return subprocess.Popen(["bash"], cwd=self.folder, text=True,
                                env=self.environment, bufsize=1,
                                stdout=subprocess.PIPE, **options)

    def run(self, block):
        """Pastes a block; gives what it prints."""
        self.shell.stdin.write(block + f"\necho '{END_OF_BLOCK}'\n")
        self.shell.stdin.flush()
        lines = []
        while (line := self.shell.stdout.readline()) != END_OF_BLOCK + "\n":
            assert line, "bash has ended"
            lines.append(line)
        return "".join(lines)

    def start_watch(self, block):
        """Pastes the block of the other terminal, and waits until it counts."""
        script = self.folder / "watch.sh"
        script.write_text(block)
        self.watch = subprocess.Popen(
            ["bash", script], cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True)
        assert "watching" in self.watch.stderr.readline()

    def end(self):
        """Ctrl-C on the daemon: what the watch had to say, and the status."""
        self.daemon.send_signal(signal.SIGINT)
        # The watch would go on with the next daemon.
        while "lost" not in (line := self.watch.stderr.readline()):
            assert line, "the watch has ended"
        os.killpg(self.watch.pid, signal.SIGINT)
        events = self.watch.stdout.read()
        self.watch.wait()
        return events, self.daemon.wait()

    def kill(self):
        for process in (self.shell, self.watch, self.daemon):
            if process and process.poll() is None:
                process.kill()


def expect(what, actual, shown, failures):
    if normalized(actual) != normalized(shown):
        failures.append(f"{what}\n--- README shows:\n{shown}--- it printed:\n"
                        f"{actual}")


def main():
    parser = argparse.ArgumentParser()
    for name in ("readme", "daemon", "client"):
        parser.add_argument("--" + name, type=pathlib.Path, required=True)
    options = parser.parse_args()
    blocks = blocks_of(options.readme.read_text())
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        tour = Tour(pathlib.Path(folder), options.daemon.resolve(),
                    options.client.resolve())
        guard = threading.Timer(DEADLINE_SECONDS, tour.kill)
        guard.start()
        try:
            steps = 0
            for (info, text), (_, shown) in zip(blocks, blocks[1:]):
                if info == "sh watch":
                    tour.start_watch(text)
                elif info == "sh tour":
                    steps += 1
                    expect(text, tour.run(text), shown, failures)
            events, status = tour.end()
        finally:
            guard.cancel()
            tour.kill()
        shown = dict(blocks)["text watch"]
        # After what the README shows come the events of the daemon's end.
        told = "".join(events.splitlines(True)[:len(normalized(shown))])
        expect("the watch", told, shown, failures)
        if status != 0:
            failures.append(f"the daemon's exit status is {status}")
        if steps < 6:
            failures.append(f"the tour has only {steps} steps")
    print("\n".join(failures) or f"{steps} steps as the README shows them")
    print("EVENTS\n" + events if failures else "")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
