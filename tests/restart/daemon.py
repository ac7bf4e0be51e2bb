"""A portreeved with a state, and what can be asked of it."""

import os
import signal
import socket
import subprocess
import threading

import grpc
from google.rpc import error_details_pb2, status_pb2
from portreeve.v1 import (daemon_pb2_grpc, event_pb2, event_pb2_grpc,
                          listener_pb2, listener_pb2_grpc)

BINARY = os.environ["PORTREEVED"]
PREFIX = "portreeved: "
DEADLINE = 60
LISTENS = "0A"  # In /proc/net/tcp.

LISTENING = listener_pb2.LISTENER_STATE_LISTENING
CLOSED = listener_pb2.LISTENER_STATE_CLOSED
FAILED = listener_pb2.LISTENER_STATE_FAILED


class Client:
    """With a connection of its own."""

    def __init__(self, target):
        self.channel = grpc.insecure_channel(
            target, options=[("grpc.use_local_subchannel_pool", 1)])
        self.listeners = listener_pb2_grpc.ListenerServiceStub(self.channel)
        self.daemon = daemon_pb2_grpc.DaemonServiceStub(self.channel)
        self.events = event_pb2_grpc.EventServiceStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def create(self, request):
        return self.listeners.CreateListener(request, timeout=DEADLINE)

    def get(self, name):
        return self.listeners.GetListener(
            listener_pb2.GetListenerRequest(name=name), timeout=DEADLINE)

    def close(self, name):
        return self.listeners.CloseListener(
            listener_pb2.CloseListenerRequest(name=name), timeout=DEADLINE)

    def delete(self, name):
        return self.listeners.DeleteListener(
            listener_pb2.DeleteListenerRequest(name=name), timeout=DEADLINE)

    def label(self, name, labels):
        request = listener_pb2.UpdateListenerRequest()
        request.listener.name = name
        request.listener.spec.labels.update(labels)
        request.update_mask.paths.append("spec.labels")
        return self.listeners.UpdateListener(request, timeout=DEADLINE)

    def all(self):
        """By name."""
        found = {}
        request = listener_pb2.ListListenersRequest()
        while True:
            page = self.listeners.ListListeners(request, timeout=DEADLINE)
            found.update((shown.name, shown) for shown in page.listeners)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def watch(self, revision=0, timeout=DEADLINE):
        """What happens from now on, or from that revision on."""
        call = self.events.WatchEvents(
            event_pb2.WatchEventsRequest(start_revision=revision),
            timeout=timeout)
        call.initial_metadata()  # The watch counts.
        return call


def echo(listener_id="", port=0, request_id="", labels=()):
    request = listener_pb2.CreateListenerRequest(listener_id=listener_id,
                                                 request_id=request_id)
    request.spec.where_to_listen.inet.address = "127.0.0.1"
    request.spec.where_to_listen.inet.port = port
    request.spec.handler.echo.SetInParent()
    request.spec.labels.update(labels)
    return request


def reason_of(error):
    """Of the ErrorInfo of an answer; "" where there is none."""
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                return info.reason
    return ""


def port_of(listener):
    return listener.status.listening_on.inet.port


def echoes(port):
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as s:
        s.sendall(b"?")
        return s.recv(1) == b"?"


def listening_ports():
    """Of this namespace, in which nobody else listens."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in list(table)[1:]]
    return sorted(int(row[1].split(":")[1], 16) for row in rows
                  if row[3] == LISTENS)


class Daemon:
    """Killed at the end.  `folder` has its control socket and its state."""

    def __init__(self, folder, *arguments, state=True, before=()):
        self.folder = folder
        self.state = f"{folder}/state"
        self.target = f"unix:{folder}/control"
        self.printed = []
        self.errors = []
        command = [*before, BINARY, "--control", self.target, *arguments]
        if state:
            command += ["--state", self.state]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            with self._said:
                self.errors.append(line.rstrip("\n"))
                self._said.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def wait_until_ready(self):
        for line in self.process.stdout:
            self.printed.append(line.rstrip("\n"))
            if line == PREFIX + "ready\n":
                return self
        self.wait()
        raise AssertionError(f"ended before it was ready: {self.errors}")

    def wait_for_error(self, text):
        """Gives the first line of stderr that has it."""
        found = []

        def is_there():
            found[:] = [line for line in self.errors if text in line]
            return found

        with self._said:
            assert self._said.wait_for(is_there, DEADLINE), self.errors
        return found[0]

    def client(self):
        return Client(self.target)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Gives the exit status, once all that it said was read."""
        status = self.process.wait(timeout=DEADLINE)
        self._reader.join()
        return status

    def kill(self):
        self.process.kill()
        self.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def end(self):
        self.signal(signal.SIGTERM)
        return self.wait()
