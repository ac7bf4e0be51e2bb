"""A portreeved whose program can be upgraded, and what it says."""

import json
import os
import queue
import select
import shutil
import signal
import socket
import subprocess
import threading

import grpc
from portreeve.v1 import (connection_pb2, connection_pb2_grpc, handler_pb2,
                          handler_pb2_grpc)

ClientFrame = connection_pb2.ClientFrame
TIMEOUT = 60
PORTREEVED = os.path.abspath("server/portreeved")
PORTREEVE = os.path.abspath("client/portreeve")


class Daemon:
    """One whose program lies in a folder of its own, and so can change."""

    def __init__(self, folder, *flags):
        self.folder = folder
        self.program = f"{folder}/portreeved"
        self.install(PORTREEVED)
        self.control = f"unix:{folder}/c"
        self.log, log = os.pipe()
        self.unread = b""
        self.lines = []  # Of the log, that nobody has waited for.
        self.logged = []  # The lines that were read.
        self.process = subprocess.Popen(
            [self.program, "--control", self.control, "--listen",
             "tcp:127.0.0.1:0 echo", *flags],
            stdout=subprocess.PIPE, stderr=log, text=True)
        os.close(log)
        self.pids = [self.process.pid]
        self.printed = self.until_ready()
        self.port = next(int(line.rsplit(":", 1)[1]) for line in self.printed
                         if line.startswith("portreeved: listener"))

    def install(self, program):
        """Puts another program in the place of the one that runs."""
        shutil.copy(program, self.program + ".new")
        os.chmod(self.program + ".new", 0o755)
        os.rename(self.program + ".new", self.program)

    def install_script(self, text):
        with open(self.folder + "/script", "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + text)
        self.install(self.folder + "/script")

    def until_ready(self):
        lines = []
        for line in self.process.stdout:
            lines.append(line.strip())
            if line == "portreeved: ready\n":
                return lines
        raise AssertionError("it is not ready")

    def until_logged(self, text):
        """Gives the first line that has it, of those not given yet. Two
        processes write, each with a thread: which is first is not certain."""
        while True:
            for line in self.lines:
                if text in line:
                    self.lines.remove(line)
                    return line
            line, newline, rest = self.unread.partition(b"\n")
            if newline:
                self.unread = rest
                self.logged.append(line.decode())
                self.lines.append(line.decode())
                continue
            ready, _, _ = select.select([self.log], [], [], TIMEOUT)
            read = os.read(self.log, 65536) if ready else b""
            if not read:
                raise AssertionError(f"it does not log {text}")
            self.unread += read

    def until_the_end(self):
        """Gives all that is logged until no process of it is there."""
        while True:
            ready, _, _ = select.select([self.log], [], [], TIMEOUT)
            read = os.read(self.log, 65536) if ready else None
            if read is None:
                raise AssertionError("it does not end")
            if not read:
                return self.unread
            self.unread += read

    def upgrade(self):
        os.kill(self.pids[-1], signal.SIGUSR2)
        line = self.until_logged("upgrade: process ")
        self.pids.append(int(line.split("upgrade: process ")[1].split()[0]))
        self.printed = self.until_ready()
        return line

    def upgrade_and_print(self):
        self.upgrade()
        return "\n".join(self.printed)

    def cli(self, *words, status=0):
        done = subprocess.run(
            [PORTREEVE, "--server", self.control, "-o", "json", *words],
            capture_output=True, text=True, timeout=TIMEOUT, check=False)
        if done.returncode != status:
            raise AssertionError(done.stderr)
        return json.loads(done.stdout) if status == 0 else done.stderr

    def listener(self, listener_id=None):
        """Gives the only one, or that with an id."""
        found = [listener for listener in self.cli("list")["listeners"]
                 if listener_id in (None, listener["name"].split("/")[1])]
        if len(found) != 1:
            raise AssertionError(found)
        return found[0]

    def port_of(self, listener_id):
        status = self.listener(listener_id)["status"]
        return status["listeningOn"]["inet"]["port"]

    def start_worker(self):
        """Has a listener that a client serves which cannot move. Gives the
        client, which echoes."""
        self.cli("create", "held", "--listen", "tcp:127.0.0.1:0", "--remote")
        self.port = self.port_of("held")
        return HeldWorker(self.control, "listeners/held")

    def event(self, kind):
        """Gives the first event of that kind, once there is one."""
        with subprocess.Popen(
                [PORTREEVE, "--server", self.control, "-o", "json", "watch",
                 "--kind", kind, "--from-revision", "1"],
                stdout=subprocess.PIPE, text=True) as watch:
            line = watch.stdout.readline()
            watch.kill()
        return json.loads(line)

    def connections(self):
        return self.cli("connections").get("connections", [])

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        client.settimeout(TIMEOUT)
        return client

    def kill(self):
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process.stdout.close()
        os.close(self.log)


class HeldWorker:
    """Sends back what comes over the connections of a listener, and knows
    nothing of upgrades."""

    def __init__(self, control, listener):
        self._channel = grpc.insecure_channel(control)
        self._listener = listener
        self._said = []
        self._stopped = False
        self._threads = [threading.Thread(target=self._work)]
        self._threads[0].start()

    def _work(self):
        while not self._stopped:
            said = queue.Queue()
            self._said.append(said)
            start = handler_pb2.HandleRequest()
            start.start.listener = self._listener
            said.put(start)
            try:
                for answer in handler_pb2_grpc.HandlerServiceStub(
                        self._channel).Handle(iter(said.get, None),
                                              wait_for_ready=True):
                    if answer.HasField("offer"):
                        self._threads.append(threading.Thread(
                            target=self._serve,
                            args=(answer.offer.connection.name,)))
                        self._threads[-1].start()
            except (grpc.RpcError, ValueError):
                pass  # The daemon goes over to another process, or it ends.
            said.put(None)

    def _serve(self, name):
        said = queue.Queue()
        self._said.append(said)
        said.put(ClientFrame(attach=ClientFrame.Attach(connection=name)))
        frames = connection_pb2_grpc.ConnectionServiceStub(
            self._channel).Attach(iter(said.get, None))
        try:
            for frame in frames:
                if frame.HasField("eof"):
                    said.put(ClientFrame(done=ClientFrame.Done()))
                elif frame.data:
                    said.put(ClientFrame(data=frame.data))
        except grpc.RpcError:
            pass
        said.put(None)

    def stop(self):
        self._stopped = True
        self._channel.close()
        for said in self._said:
            said.put(None)
        for thread in self._threads:
            thread.join()
