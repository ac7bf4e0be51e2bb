"""portreeved goes over to its next process, while clients come and go."""

import json
import os
import queue
import select
import selectors
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import unittest
import urllib.request

import grpc
from portreeve.v1 import (connection_pb2, connection_pb2_grpc, daemon_pb2,
                          daemon_pb2_grpc, handler_pb2, handler_pb2_grpc,
                          listener_pb2, listener_pb2_grpc)
from upgraded_daemon import PORTREEVE, PORTREEVED, TIMEOUT, Daemon

# A counter, of which each place of a stream has its own part.
PATTERN = struct.pack(">1048576I", *range(1048576))
# How much a client of Bulk has on its way at most: more than a unix socket and
# a pipe take, and for all together less than the kernel has for TCP (tcp_mem);
# beyond that it drops, and waits minutes before it tries again.
MOST_ON_ITS_WAY = 2000000
FILE = """name: %s
spec:
  where_to_listen: {inet: {address: 127.0.0.1}}
  handler: {echo: {}}
"""


class Bulk:
    """Clients that send without an end what comes back to them, and look at
    each byte. Half of them do not read before finish()."""

    def __init__(self, addresses, count):
        self.wrong = []
        self.finishing = False
        self.changed = threading.Condition()
        self.selector = selectors.DefaultSelector()
        self.clients = [
            BulkClient(self.selector, addresses[number % len(addresses)],
                       number // len(addresses) % 2 == 1)
            for number in range(count)]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.finishing:
                for key, events in self.selector.select(0.05):
                    key.data.advance(events)
                self.notify()
            for client in self.clients:
                client.finish()
            while self.selector.get_map():
                for key, events in self.selector.select():
                    key.data.advance(events)
        except (OSError, AssertionError) as error:
            self.wrong.append(repr(error))
            self.notify()

    def notify(self):
        with self.changed:
            self.changed.notify_all()

    def until_more(self):
        """Waits until those who read have got some more, and the others can
        send no more."""
        before = [client.received for client in self.clients]

        def have_more():
            return self.wrong or all(
                client.is_full if client.is_stalled
                else client.received >= was + 50000
                for client, was in zip(self.clients, before))

        with self.changed:
            if not self.changed.wait_for(have_more, TIMEOUT):
                self.wrong.append("no more comes")

    def finish(self):
        self.finishing = True
        self.thread.join()
        for client in self.clients:
            if client.received != client.sent or not client.is_over:
                self.wrong.append(
                    f"{client.received} of {client.sent} have come")
            client.socket.close()
        self.selector.close()


class BulkClient:

    def __init__(self, selector, address, is_stalled):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(address)
        self.socket.setblocking(False)
        self.is_stalled = is_stalled
        self.is_full = self.is_over = self.is_finishing = False
        self.sent = self.received = 0
        self.selector = selector
        self.events = selectors.EVENT_WRITE
        if not is_stalled:
            self.events |= selectors.EVENT_READ
        selector.register(self.socket, self.events, self)

    def watch(self, events):
        if events == self.events:
            return
        if self.events == 0:
            self.selector.register(self.socket, events, self)
        elif events == 0:
            self.selector.unregister(self.socket)
        else:
            self.selector.modify(self.socket, events, self)
        self.events = events

    def finish(self):
        """Sends no more, and reads to the end."""
        self.is_finishing = True
        self.socket.shutdown(socket.SHUT_WR)
        self.watch(selectors.EVENT_READ)

    def advance(self, events):
        if events & selectors.EVENT_WRITE:
            at = self.sent % len(PATTERN)
            self.sent += self.socket.send(PATTERN[at:at + 65536])
        if events & selectors.EVENT_READ:
            self.receive()
        wanted = self.events & selectors.EVENT_READ
        if not self.is_finishing:
            self.is_full = self.sent - self.received >= MOST_ON_ITS_WAY
            wanted |= 0 if self.is_full else selectors.EVENT_WRITE
        self.watch(0 if self.is_over else wanted)

    def receive(self):
        data = self.socket.recv(65536)
        at = self.received % len(PATTERN)
        expected = PATTERN[at:at + len(data)]
        expected += PATTERN[:len(data) - len(expected)]
        if data != expected:
            raise AssertionError(f"wrong bytes after {self.received}")
        self.received += len(data)
        self.is_over = not data


def is_echoed(client, text=b"hello"):
    client.sendall(text)
    return client.recv(100) == text


class Storm:
    """Clients that connect, are echoed, and leave, one after the other."""

    def __init__(self, daemon, threads=4):
        self.daemon = daemon
        self.wrong = []
        self.count = 0
        self.stopped = False
        self.threads = [threading.Thread(target=self.run)
                        for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.stopped:
            try:
                with self.daemon.connect() as client:
                    if not is_echoed(client):
                        self.wrong.append("no echo")
                self.count += 1
            except OSError as error:
                self.wrong.append(repr(error))

    def stop(self):
        self.stopped = True
        for thread in self.threads:
            thread.join()


class RemoteListener:
    """One that this process serves, by one Handle stream and one Attach."""

    def __init__(self, daemon, policy):
        self.daemon = daemon
        self._channel = grpc.insecure_channel(daemon.control)
        request = listener_pb2.CreateListenerRequest(listener_id="served")
        request.spec.where_to_listen.inet.address = "127.0.0.1"
        request.spec.handler.remote.SetInParent()
        request.spec.on_handler_error = policy
        created = listener_pb2_grpc.ListenerServiceStub(
            self._channel).CreateListener(request, timeout=TIMEOUT)
        self.address = ("127.0.0.1",
                        created.status.listening_on.inet.port)
        self._name = created.name
        self._said = queue.Queue()
        self._work()

    def work_again(self):
        """Begins a Handle stream, on a connection that is new."""
        self._to_worker.put(None)
        self._channel.close()
        self._channel = grpc.insecure_channel(self.daemon.control)
        self._work()

    def _work(self):
        start = handler_pb2.HandleRequest()
        start.start.listener = self._name
        self._to_worker = queue.Queue()
        self._to_worker.put(start)
        self._offers = handler_pb2_grpc.HandlerServiceStub(
            self._channel).Handle(iter(self._to_worker.get, None),
                                  wait_for_ready=True, timeout=TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._to_worker.put(None)
        self._said.put(None)
        self._channel.close()

    def attach(self):
        """Gives the frames after `opened` and the peer's byte."""
        name = next(answer.offer.connection.name for answer in self._offers
                    if answer.HasField("offer"))
        self._said.put(connection_pb2.ClientFrame(
            attach=connection_pb2.ClientFrame.Attach(connection=name)))
        frames = connection_pb2_grpc.ConnectionServiceStub(
            self._channel).Attach(iter(self._said.get, None))
        while next(frames).data != b"x":
            pass
        return frames

    def answer(self, verdict):
        """Gives the message of the error that comes, with that verdict."""
        error = next(answer.handler_error for answer in self._offers
                     if answer.HasField("handler_error"))
        said = handler_pb2.HandleRequest()
        said.verdict.handler_error_id = error.id
        said.verdict.verdict = handler_pb2.HandlerVerdict.Value(verdict)
        self._to_worker.put(said)
        return error.message

    def raise_(self):
        self._said.put(connection_pb2.ClientFrame(
            raised=connection_pb2.ClientFrame.Raised(message="boom")))


class UpgradeTest(unittest.TestCase):

    def scratch(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def start(self, *flags):
        daemon = Daemon(self.scratch(), *flags)
        self.addCleanup(daemon.kill)
        return daemon

    def test_nobody_is_refused(self):
        for flags in ((), ("--loops", "3", "--http", "tcp:127.0.0.1:0"),
                      ("--state",)):
            with self.subTest(flags):
                if flags == ("--state",):
                    state = tempfile.TemporaryDirectory()
                    self.addCleanup(state.cleanup)
                    flags = ("--state", state.name + "/state")
                daemon = self.start(*flags)
                storm = Storm(daemon)
                for _ in range(5):
                    before = storm.count
                    daemon.upgrade()
                    # The last one has ended, and so may the next one begin.
                    daemon.until_logged("the former process has ended")
                    while storm.count < before + 50:
                        self.assertEqual(storm.wrong, [])
                storm.stop()
                self.assertEqual(storm.wrong, [])
                status = daemon.listener()["status"]
                self.assertEqual(int(status["acceptedTotal"]), storm.count)
                self.assertEqual(
                    daemon.cli("daemon")["pid"], str(daemon.pids[-1]))
                self.assertEqual(daemon.cli("daemon")["generation"], "5")

    def test_a_client_asks_for_it(self):
        daemon = self.start()
        could = daemon.cli("upgrade", "--validate-only")
        self.assertEqual(could["pid"], str(daemon.pids[0]))
        self.assertEqual(daemon.cli("daemon")["pid"], could["pid"])
        shown = daemon.cli("upgrade", "--drain", "30s")
        self.assertEqual(shown["generation"], "1")
        daemon.pids.append(int(shown["pid"]))
        self.assertNotEqual(daemon.pids[0], daemon.pids[1])
        self.assertEqual(daemon.cli("daemon")["pid"], shown["pid"])
        self.assertEqual(daemon.process.wait(TIMEOUT), 0)
        with daemon.connect() as client:
            self.assertTrue(is_echoed(client))

    def test_a_watch_misses_nothing(self):
        daemon = self.start()
        with subprocess.Popen(
                [PORTREEVE, "--server", daemon.control, "-o", "json", "watch"],
                stdout=subprocess.PIPE, text=True) as watch:
            self.addCleanup(watch.kill)
            seen = []

            def until(kind, count):
                while sum(kind in event for event in seen) < count:
                    seen.append(json.loads(watch.stdout.readline()))

            # Until it watches.
            while not select.select([watch.stdout], [], [], 0)[0]:
                with daemon.connect() as client:
                    self.assertTrue(is_echoed(client))
            for number in range(3):
                with daemon.connect() as client:
                    self.assertTrue(is_echoed(client))
                    daemon.upgrade()
                daemon.until_logged("the former process has ended")
                daemon.cli("create", f"last-{number}", "--listen",
                           "tcp:127.0.0.1:0", "--echo")
                until("listenerCreated", number + 1)
            watch.kill()
        revisions = [int(event["revision"]) for event in seen]
        self.assertEqual(
            revisions, list(range(revisions[0], revisions[0] + len(seen))))
        self.assertEqual(len({event["instanceId"] for event in seen}), 1)
        self.assertEqual(
            [(event["daemonUpgraded"]["fromPid"],
              event["daemonUpgraded"]["daemon"]["pid"],
              event["daemonUpgraded"]["daemon"]["generation"],
              event["daemonUpgraded"]["moved"])
             for event in seen if "daemonUpgraded" in event],
            [(str(daemon.pids[i]), str(daemon.pids[i + 1]), str(i + 1), "1")
             for i in range(3)])

    def test_a_connection_moves(self):
        daemon = self.start()
        client = daemon.connect()
        self.assertTrue(is_echoed(client))
        before = daemon.connections()
        for number in range(3):
            line = daemon.upgrade()
            self.assertIn("goes on with 1 connection;", line)
            self.assertIn("; 0 connections may go on here", line)
            # The old one has nothing to wait for.
            daemon.until_logged("the former process has ended")
            if number == 0:
                self.assertEqual(daemon.process.wait(TIMEOUT), 0)
            shown = daemon.connections()
            self.assertEqual(shown, before)
            self.assertFalse(shown[0]["heldByPredecessor"])
            self.assertNotIn("predecessor", daemon.cli("daemon"))
        self.assertTrue(is_echoed(client, b"more"))
        shown = daemon.connections()[0]
        self.assertEqual(shown["name"], before[0]["name"])
        self.assertEqual(shown["bytesReceived"], "9")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(client.recv(100), b"")
        client.close()
        while daemon.connections():
            pass
        status = daemon.listener()["status"]
        self.assertEqual(status["acceptedTotal"], "1")
        self.assertEqual(status["bytesReceivedTotal"], "9")
        self.assertEqual(status["bytesSentTotal"], "9")
        self.assertEqual(status["closedByReason"], {"PEER_CLOSED": "1"})

    def bulk_over(self, daemon, scripts):
        """Has 200 forwards in mid-bulk go from process to process."""
        daemon.cli("create", "forward", "--listen", "tcp:127.0.0.1:0",
                   "--forward", f"tcp:127.0.0.1:{daemon.port}")
        file = daemon.folder + "/s"
        daemon.cli("create", "to-file", "--listen", f"unix:{file}",
                   "--forward", f"tcp:127.0.0.1:{daemon.port}")
        bulk = Bulk([("127.0.0.1", daemon.port_of("forward")), file], 200)
        try:
            for script in scripts:
                bulk.until_more()
                self.assertEqual(bulk.wrong, [])
                # The daemon itself has bytes of those that are stalled.
                while sum(one["listener"] == "listeners/to-file"
                          and one["bytesToWrite"] != "0"
                          for one in daemon.connections()) < 50:
                    self.assertEqual(bulk.wrong, [])
                if script is not None:
                    daemon.install_script(script)
                line = daemon.upgrade()
                # Each has one to itself at the echo listener, too.
                self.assertIn("goes on with 400 connections;", line)
                daemon.until_logged("the former process has ended")
            bulk.until_more()
        finally:
            bulk.finish()
        self.assertEqual(bulk.wrong, [])
        while daemon.connections():
            pass
        for name in ("forward", "to-file"):
            status = daemon.listener(name)["status"]
            self.assertEqual(status["acceptedTotal"], "100")
            self.assertEqual(status["closedByReason"], {"PEER_CLOSED": "100"})
            self.assertEqual(status["bytesReceivedTotal"],
                             status["bytesSentTotal"])
        total = sum(client.sent for client in bulk.clients)
        status = [daemon.listener(name)["status"]
                  for name in ("forward", "to-file")]
        self.assertEqual(
            sum(int(one["bytesReceivedTotal"]) for one in status), total)

    def test_bulk_on_one_loop(self):
        self.bulk_over(self.start("--loops", "1"), [None] * 3)

    def test_bulk_on_four_loops(self):
        self.bulk_over(self.start("--loops", "4"), [None] * 3)

    def test_bulk_from_four_loops_to_two(self):
        change = ('for a; do shift; [ "$a" = 4 ] && a=2; set -- "$@" "$a"; '
                  f'done\nexec {PORTREEVED} "$@"\n')
        self.bulk_over(self.start("--loops", "4"), [None, change, None])

    def start_with_worker(self, *flags):
        daemon = self.start(*flags)
        worker = daemon.start_worker()
        self.addCleanup(worker.stop)
        return daemon

    def test_a_connection_stays_with_its_process(self):
        daemon = self.start_with_worker()
        client = daemon.connect()
        self.assertTrue(is_echoed(client))
        line = daemon.upgrade()
        self.assertIn("; 1 connection may go on here", line)
        self.assertTrue(is_echoed(client, b"more"))
        shown = daemon.connections()
        self.assertEqual(len(shown), 1)
        self.assertTrue(shown[0].get("heldByPredecessor"))
        predecessor = daemon.cli("daemon")["predecessor"]
        self.assertEqual(predecessor["pid"], str(daemon.pids[0]))
        self.assertEqual(predecessor["connections"], "1")
        started = daemon.event("daemon-upgraded")["time"]
        # It has ten minutes from then on.
        self.assertRegex(predecessor["deadline"], r"^\d{4}-\d\d-\d\dT")
        self.assertGreater(predecessor["deadline"], started)
        # Another upgrade would leave a third process.
        os.kill(daemon.pids[-1], signal.SIGUSR2)
        daemon.until_logged("still has connections")
        client.close()
        daemon.until_logged("the former process has ended")
        self.assertEqual(daemon.process.wait(TIMEOUT), 0)
        status = daemon.listener("held")["status"]
        self.assertEqual(status["bytesReceivedTotal"], "9")
        self.assertEqual(status["closedByReason"], {"PEER_CLOSED": "1"})
        self.assertEqual(daemon.connections(), [])

    def test_one_that_is_held_can_be_closed(self):
        daemon = self.start_with_worker()
        client = daemon.connect()
        self.assertTrue(is_echoed(client))
        daemon.upgrade()
        daemon.cli("kill", daemon.connections()[0]["name"])
        self.assertEqual(client.recv(100), b"")
        client.close()
        daemon.until_logged("the former process has ended")
        self.assertEqual(daemon.listener("held")["status"]["closedByReason"],
                         {"CALLED": "1"})

    def test_nobody_need_read_what_it_prints(self):
        daemon = self.start("--http", "tcp:127.0.0.1:0")
        pipe = daemon.process.stdout.fileno()
        # The next processes print into a pipe that is full.
        with open(f"/proc/self/fd/{pipe}", "wb", buffering=0) as full:
            os.set_blocking(full.fileno(), False)
            for size in (4096, 1):
                while full.write(b"x" * size):
                    pass
            for _ in range(2):
                os.kill(daemon.pids[-1], signal.SIGUSR2)
                line = daemon.until_logged("upgrade: process ")
                daemon.pids.append(
                    int(line.split("upgrade: process ")[1].split()[0]))
                daemon.until_logged("the former process has ended")
            os.kill(daemon.pids[-1], signal.SIGHUP)
            daemon.until_logged("SIGHUP")
            os.kill(daemon.pids[-1], signal.SIGTERM)
            daemon.until_logged("stopped")

    def test_pages_are_served_by_the_next_one(self):
        daemon = self.start("--http", "tcp:127.0.0.1:0")
        at = next(line.rsplit("tcp:", 1)[1] for line in daemon.printed
                  if line.startswith("portreeved: http"))
        for _ in range(2):
            with urllib.request.urlopen(f"http://{at}/metrics",
                                        timeout=TIMEOUT) as page:
                self.assertIn(b"portreeve_", page.read())
            self.assertIn(at, daemon.upgrade_and_print())

    def test_who_only_asks_starts_nothing(self):
        daemon = self.start()
        with grpc.insecure_channel(daemon.control) as channel:
            stub = daemon_pb2_grpc.DaemonServiceStub(channel)
            request = daemon_pb2.UpgradeDaemonRequest(validate_only=True)
            for _ in range(10):
                asked = [stub.UpgradeDaemon.future(request, timeout=TIMEOUT)
                         for _ in range(50)]
                for answer in asked:
                    self.assertEqual(answer.result().pid, daemon.pids[0])
            # What they have left behind is done by then.
            daemon.upgrade()
            self.assertEqual(daemon.cli("daemon")["generation"], "1")
        self.assertNotIn("UpgradeDaemon", "".join(daemon.logged))

    def test_of_several_who_ask_at_once_one_gets_it(self):
        daemon = self.start()
        client = daemon.connect()
        self.assertTrue(is_echoed(client))
        with grpc.insecure_channel(daemon.control) as channel:
            stub = daemon_pb2_grpc.DaemonServiceStub(channel)
            asked = []
            for seconds in (3600, 0, 0, 0, 0, 0):
                request = daemon_pb2.UpgradeDaemonRequest()
                request.drain_timeout.seconds = seconds
                asked.append(stub.UpgradeDaemon.future(request,
                                                       timeout=TIMEOUT))
            codes = [answer.code() for answer in asked]
        self.assertEqual(codes.count(grpc.StatusCode.OK), 1)
        if codes[0] == grpc.StatusCode.OK:
            self.assertTrue(is_echoed(client, b"more"))
        client.close()
        daemon.pids.append(int(daemon.cli("daemon")["pid"]))

    def test_what_was_closed_stays_closed(self):
        files = self.scratch()
        with open(files + "/a.yaml", "w", encoding="utf-8") as file:
            file.write(FILE % "of-file")
        daemon = self.start("--listeners", files)
        flag = next(one["name"] for one in daemon.cli("list")["listeners"]
                    if one["status"]["source"] == "LISTENER_SOURCE_FLAG")
        for name in (flag, "of-file"):
            daemon.cli("close", name)
        daemon.cli("delete", "of-file")
        daemon.upgrade()
        shown = daemon.cli("list")["listeners"]
        self.assertEqual([(one["name"], one["status"]["isClosed"])
                          for one in shown], [(flag, True)])
        # A new one is opened.
        with open(files + "/b.yaml", "w", encoding="utf-8") as file:
            file.write(FILE % "new")
        daemon.cli("delete", flag)
        daemon.upgrade()
        self.assertEqual(
            [one["name"] for one in daemon.cli("list")["listeners"]],
            ["listeners/new"])

    def test_who_reads_nothing_does_not_keep_the_old_one(self):
        daemon = self.start()
        update = listener_pb2.UpdateListenerRequest()
        update.listener.name = daemon.listener()["name"]
        update.update_mask.paths.append("spec.labels")
        with subprocess.Popen(
                [PORTREEVE, "--server", daemon.control, "-o", "json", "watch"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watch:
            try:
                watch.stderr.readline()  # It watches.
                with grpc.insecure_channel(daemon.control) as channel:
                    stub = listener_pb2_grpc.ListenerServiceStub(channel)
                    for number in range(2000):
                        for i in range(15):
                            update.listener.spec.labels[f"l{i}"] = (
                                f"{number}{'x' * 200}")
                        stub.UpdateListener(update, timeout=TIMEOUT)
                daemon.upgrade()
                self.assertEqual(daemon.process.wait(TIMEOUT), 0)
            finally:
                watch.kill()

    def test_a_dialled_one_is_closed_with_the_daemon(self):
        daemon = self.start("--drain", "0s")
        said = queue.Queue()
        frame = connection_pb2.ClientFrame()
        frame.dial.where_to_connect.inet.host = "127.0.0.1"
        with grpc.insecure_channel(daemon.control) as channel, \
                socket.create_server(("127.0.0.1", 0)) as upstream:
            frame.dial.where_to_connect.inet.port = upstream.getsockname()[1]
            said.put(frame)
            frames = connection_pb2_grpc.ConnectionServiceStub(
                channel).Dial(iter(said.get, None))
            self.addCleanup(upstream.accept()[0].close)
            self.assertTrue(next(frames).HasField("opened"))
            daemon.upgrade()
            os.kill(daemon.pids[1], signal.SIGTERM)
            closed = [frame.closed.reason for frame in frames
                      if frame.HasField("closed")]
            said.put(None)
        self.assertEqual(closed, [connection_pb2.CLOSE_REASON_SHUTDOWN])
        daemon.until_the_end()

    def test_a_process_that_somebody_starts_may_take_over(self):
        daemon = self.start("--state", tempfile.mkdtemp(dir=self.scratch()))
        state = next(line for line in daemon.printed if " state " in line)
        state = state.split(" state ")[1].split(":")[0]
        socket_path = state + "/handover.sock"
        self.assertEqual(os.stat(socket_path).st_mode & 0o777, 0o600)
        client = daemon.connect()
        self.assertTrue(is_echoed(client))

        def take_over(*flags, at=socket_path):
            return subprocess.run(
                [PORTREEVED, "--control", daemon.control, "--takeover",
                 f"unix:{at}", *flags], capture_output=True, text=True,
                timeout=TIMEOUT, check=False)

        # One that is refused leaves all as it was.
        done = take_over("--state", tempfile.mkdtemp(dir=self.scratch()))
        self.assertEqual(done.returncode, 1)
        self.assertIn("another state", done.stderr)
        daemon.until_logged("upgrade: the daemon goes on")
        # One that only comes to look is let go.
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as visitor:
            visitor.connect(socket_path)
        daemon.until_logged("upgrade: the daemon goes on")
        self.assertEqual(daemon.cli("daemon")["pid"], str(daemon.pids[0]))
        # This one has flags of its own.
        with subprocess.Popen(
                [PORTREEVED, "--control", daemon.control, "--takeover",
                 f"unix:{socket_path}", "--state", state, "--loops", "2",
                 "--listen", "tcp:127.0.0.1:0 discard"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True) as following:
            self.addCleanup(following.kill)
            for line in following.stdout:
                if line == "portreeved: ready\n":
                    break
            self.assertEqual(daemon.cli("daemon")["pid"], str(following.pid))
            self.assertTrue(is_echoed(client, b"more"))
            with daemon.connect() as another:
                self.assertTrue(is_echoed(another))
            handlers = [list(one["spec"]["handler"])
                        for one in daemon.cli("list")["listeners"]]
            self.assertEqual(sorted(handlers), [["discard"], ["echo"]])
            client.close()
            self.assertEqual(daemon.process.wait(TIMEOUT), 0)
            # From there it goes on, by itself or by somebody again.
            self.assertTrue(os.path.exists(socket_path))
            self.assertEqual(
                take_over("--state", tempfile.mkdtemp(dir=self.scratch()))
                .returncode, 1)
            following.terminate()
            following.communicate(timeout=TIMEOUT)
        self.assertFalse(os.path.exists(socket_path))
        done = take_over()
        self.assertEqual(done.returncode, 1)
        self.assertIn("--takeover: connect unix:", done.stderr)

    def test_a_signal_that_comes_meanwhile_is_the_daemons(self):
        daemon = self.start()
        # It says that it has come to life, and waits until it may go on.
        fifo = daemon.folder + "/fifo"
        os.mkfifo(fifo)
        daemon.install_script(
            f'echo alive > {fifo}; read go < {fifo}; exec {PORTREEVED} "$@"\n')
        os.kill(daemon.pids[0], signal.SIGUSR2)
        with open(fifo, encoding="utf-8") as alive:
            self.assertEqual(alive.readline(), "alive\n")
        os.kill(daemon.pids[0], signal.SIGHUP)
        with open(fifo, "w", encoding="utf-8") as go:
            go.write("on\n")
        line = daemon.until_logged("upgrade: process ")
        daemon.pids.append(int(line.split("upgrade: process ")[1].split()[0]))
        daemon.until_logged(" info SIGHUP")
        os.kill(daemon.pids[1], signal.SIGTERM)
        # The pipe ends with the last process that has it.
        self.assertIn(b" info stopped\n", daemon.until_the_end())
        self.assertEqual(daemon.process.wait(TIMEOUT), 0)

    def test_one_that_says_nothing_does_not_hold_up_the_end(self):
        daemon = self.start()
        fifo = daemon.folder + "/fifo"
        os.mkfifo(fifo)
        daemon.install_script(
            f"echo alive > {fifo}; exec sleep 100000\n")
        os.kill(daemon.pids[0], signal.SIGUSR2)
        with open(fifo, encoding="utf-8") as alive:
            self.assertEqual(alive.readline(), "alive\n")
        os.kill(daemon.pids[0], signal.SIGTERM)
        line = daemon.until_logged("upgrade: the daemon goes on")
        self.assertIn("hello: the daemon is to stop", line)
        # The pipe ends with the last process that has it.
        daemon.until_the_end()
        self.assertEqual(daemon.process.wait(TIMEOUT), 0)

    def test_while_one_is_under_way_there_is_no_other(self):
        daemon = self.start()
        fifo = daemon.folder + "/fifo"
        os.mkfifo(fifo)
        daemon.install_script(f"echo alive > {fifo}; read go < {fifo}; exit 1\n")
        with subprocess.Popen(
                [PORTREEVE, "--server", daemon.control, "upgrade"],
                stderr=subprocess.PIPE, text=True) as first:
            with open(fifo, encoding="utf-8") as alive:
                self.assertEqual(alive.readline(), "alive\n")
            for words in ((), ("--validate-only",)):
                self.assertIn("UPGRADE_IN_PROGRESS: another upgrade",
                              daemon.cli("upgrade", *words, status=4))
            with open(fifo, "w", encoding="utf-8") as go:
                go.write("on\n")
            self.assertIn("UPGRADE_FAILED", first.stderr.read())
        daemon.install(PORTREEVED)
        shown = daemon.cli("upgrade")
        daemon.pids.append(int(shown["pid"]))
        self.assertEqual(shown["version"], daemon.cli("daemon")["version"])

    def test_a_handler_that_fails_in_the_old_one_counts_in_both(self):
        for policy, cause in (
                (handler_pb2.ON_HANDLER_ERROR_IGNORE, "UNSPECIFIED"),
                (handler_pb2.ON_HANDLER_ERROR_RAISE, "HANDLER_ERROR")):
            with self.subTest(policy), RemoteListener(
                    self.start(), policy) as remote:
                with socket.create_connection(remote.address, TIMEOUT) as peer:
                    peer.sendall(b"x")
                    frames = remote.attach()
                    remote.daemon.upgrade()
                    remote.raise_()
                    self.assertIn("closed", [frame.WhichOneof("kind")
                                             for frame in frames])
                remote.daemon.until_logged("the former process has ended")
                status = remote.daemon.cli("get", "served")["status"]
                self.assertEqual(status["handlerErrorsTotal"], "1")
                self.assertEqual(status["closedByReason"],
                                 {"HANDLER_ERROR": "1"})
                self.assertEqual(status["closeCause"], f"CLOSE_CAUSE_{cause}")

    def test_the_verdict_is_that_of_a_worker_of_the_new_one(self):
        for verdict in ("RETURN", "RAISE"):
            with self.subTest(verdict), RemoteListener(
                    self.start(), handler_pb2.ON_HANDLER_ERROR_CALL) as remote:
                with socket.create_connection(remote.address, TIMEOUT) as peer:
                    peer.sendall(b"x")
                    frames = remote.attach()
                    remote.daemon.upgrade()
                    # It fails while nobody is there to be asked.
                    remote.raise_()
                    self.assertIn("closed", [frame.WhichOneof("kind")
                                             for frame in frames])
                remote.daemon.until_logged("the former process has ended")
                remote.work_again()
                self.assertEqual(remote.answer(f"HANDLER_VERDICT_{verdict}"),
                                 "boom")
                event = remote.daemon.event("handler-error")["handlerError"]
                self.assertEqual(event["outcome"], f"HANDLER_VERDICT_{verdict}")
                self.assertEqual(event["message"], "boom")
                if verdict == "RAISE":
                    remote.daemon.cli("close-finished", "served")
                status = remote.daemon.cli("get", "served")["status"]
                self.assertEqual(status["handlerErrorsTotal"], "1")
                self.assertEqual(
                    status["closeCause"], "CLOSE_CAUSE_HANDLER_ERROR"
                    if verdict == "RAISE" else "CLOSE_CAUSE_UNSPECIFIED")

    def test_who_moves_leaves_lines_in_the_access_log(self):
        daemon = self.start("--access-log", "-")
        daemon.cli("create", "forward", "--listen", "tcp:127.0.0.1:0",
                   "--forward", f"tcp:127.0.0.1:{daemon.port}",
                   "--access-log-every", "1s")

        def until_line(kind):
            while True:
                line = json.loads(daemon.until_logged(f'"event":"{kind}"'))
                if line["listener"].endswith("forward"):
                    return line

        with socket.create_connection(
                ("127.0.0.1", daemon.port_of("forward")), TIMEOUT) as client:
            client.settimeout(TIMEOUT)
            self.assertTrue(is_echoed(client))
            daemon.upgrade()
            until_line("alive")
        self.assertIn("connect", until_line("close"))

    def test_those_of_a_process_that_is_gone_are_lost(self):
        daemon = self.start_with_worker()
        clients = [daemon.connect() for _ in range(3)]
        for client in clients:
            self.assertTrue(is_echoed(client))
        daemon.upgrade()
        os.kill(daemon.pids[0], signal.SIGKILL)
        daemon.until_logged("and with it 3 connections")
        self.assertEqual(daemon.listener("held")["status"]["closedByReason"],
                         {"PROCESS_LOST": "3"})
        self.assertEqual(daemon.connections(), [])
        for client in clients:
            client.close()

    def test_the_drain_ends(self):
        daemon = self.start_with_worker("--takeover-drain", "1s")
        client = daemon.connect()
        self.assertTrue(is_echoed(client))
        daemon.upgrade()
        self.assertRaises(ConnectionResetError, client.recv, 100)
        daemon.until_logged("the former process has ended")
        self.assertEqual(daemon.listener("held")["status"]["closedByReason"],
                         {"SHUTDOWN": "1"})
        self.assertEqual(daemon.process.wait(TIMEOUT), 0)

    def test_a_limit_holds_over_both(self):
        daemon = self.start_with_worker()
        name = daemon.listener("held")["name"]
        daemon.cli("update", name, "--max-connections", "2")
        first, second = daemon.connect(), daemon.connect()
        self.assertTrue(is_echoed(first) and is_echoed(second))
        daemon.upgrade()
        third = daemon.connect()
        third.sendall(b"hello")
        self.assertEqual(select.select([third], [], [], 0.2)[0], [])
        first.close()
        self.assertEqual(third.recv(100), b"hello")
        third.close()
        second.close()

    def test_whatever_becomes_of_the_next_one_the_old_one_goes_on(self):
        daemon = self.start()
        os.mkdir(daemon.folder + "/other", 0o700)
        for number in range(100):
            daemon.cli("create", f"more-{number}", "--listen",
                       "tcp:127.0.0.1:0", "--echo")
        storm = Storm(daemon, threads=1)
        client = daemon.connect()
        for script, step in (
                ("exit 7\n", "has ended (exit status 7)"),
                ("kill -9 $$\n", "has ended\n"),
                ("kill -11 $$\n", "has ended (SIGSEGV)"),
                # It has another state.
                (f'exec {PORTREEVED} "$@" --state {daemon.folder}/other\n',
                 "has a state"),
                # It has too few descriptors for what comes.
                (f'ulimit -n 150; exec {PORTREEVED} "$@"\n',
                 "RLIMIT_NOFILE"),
                # A control address of its own cannot be bound.
                (f'exec {PORTREEVED} "$@" --control tcp:192.0.2.1:1 '
                 "--insecure\n", "192.0.2.1")):
            with self.subTest(script):
                daemon.install_script(script)
                os.kill(daemon.pids[-1], signal.SIGUSR2)
                line = daemon.until_logged("upgrade: the daemon goes on")
                self.assertIn(step, line + "\n")
                self.assertTrue(is_echoed(client))
                self.assertEqual(
                    daemon.cli("daemon")["pid"], str(daemon.pids[-1]))
        # The program is gone.
        os.unlink(daemon.program)
        os.kill(daemon.pids[-1], signal.SIGUSR2)
        daemon.until_logged("No such file")
        storm.stop()
        self.assertEqual(storm.wrong, [])
        client.close()
        daemon.install(PORTREEVED)
        daemon.upgrade()
        with daemon.connect() as client:
            self.assertTrue(is_echoed(client))


if __name__ == "__main__":
    unittest.main()
