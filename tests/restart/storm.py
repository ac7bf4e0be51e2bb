"""Clients that change listeners until the daemon is gone, and know what they
were told."""

import dataclasses
import threading

import grpc

from daemon import CLOSED, LISTENING, echo, port_of, reason_of

# Of a client, open and closed.
MOST_LISTENERS = 8
# Of its creations; all clients together have fewer than the daemon remembers.
MOST_REMEMBERED = 200
# What a call that was not answered ends with.
NOT_ANSWERED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED,
                grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


@dataclasses.dataclass(frozen=True)
class Known:
    """What a client knows of a listener, and what is shown of it."""
    uid: str
    port: int
    request: str
    value: str
    is_closed: bool

    @staticmethod
    def of(listener):
        state = listener.status.state
        assert state in (LISTENING, CLOSED), listener
        return Known(listener.uid, port_of(listener),
                     listener.spec.labels["request"],
                     listener.spec.labels["value"], state == CLOSED)


@dataclasses.dataclass(frozen=True)
class Asked:
    """A change that is not answered."""
    kind: str
    name: str = ""
    request: object = None  # Of a create.
    value: str = ""  # Of an update.


class Stormer:
    """`random` decides what it does."""

    def __init__(self, number, random):
        self.owner = str(number)
        self._random = random
        self._count = 0
        self.known = {}  # By name.
        self.asked = None
        self.created = []  # (request, name, uid) of those that were answered.
        self.fault = None

    def _labels(self, request, value):
        return {"owner": self.owner, "request": request, "value": value}

    def _choose(self):
        self._count += 1
        name = f"{self.owner}-{self._count}"
        opened = [n for n, known in self.known.items() if not known.is_closed]
        closed = [n for n, known in self.known.items() if known.is_closed]
        kinds = ["delete"] * bool(closed)
        if opened:
            kinds += ["update", "update", "close"]
        if len(self.known) < MOST_LISTENERS:
            kinds += ["create", "create"]
        kind = self._random.choice(kinds)
        if kind == "create":
            # Half of the names are the daemon's.
            listener_id = self._random.choice([f"c{name}", ""])
            return Asked(kind, request=echo(listener_id, request_id=f"r{name}",
                                            labels=self._labels(f"r{name}",
                                                                "new")))
        if kind == "update":
            return Asked(kind, self._random.choice(opened), value=f"v{name}")
        return Asked(kind, self._random.choice(
            opened if kind == "close" else closed))

    def ask(self, client, asked):
        """Does it, and notes the answer."""
        if asked.kind == "create":
            listener = client.create(asked.request)
            # It is told as it was made.
            self.known[listener.name] = Known.of(listener)
            self.created.append((asked.request, listener.name, listener.uid))
            del self.created[:-MOST_REMEMBERED]
        elif asked.kind == "update":
            request = self.known[asked.name].request
            self.known[asked.name] = Known.of(
                client.label(asked.name, self._labels(request, asked.value)))
        elif asked.kind == "close":
            self.known[asked.name] = Known.of(client.close(asked.name))
        else:
            client.delete(asked.name)
            del self.known[asked.name]
        self.asked = None

    def run(self, client, on_answer, ending):
        """Until it has no answer; `ending` is set once that may be."""
        try:
            while True:
                self.asked = self._choose()
                self.ask(client, self.asked)
                on_answer()
        except grpc.RpcError as error:
            # What an end closes cannot be changed.
            closing = reason_of(error) == "LISTENER_CLOSED"
            if not ending.is_set() or (error.code() not in NOT_ANSWERED
                                       and not closing):
                self.fault = f"{self.asked}: {error}"
        except Exception as error:  # Nobody else would tell of it.
            self.fault = f"{self.asked}: {error!r}"

    def possible(self):
        """What may be known of its listeners: without what was asked, and
        with it; None in place of what only the daemon knows."""
        without = dict(self.known)
        if self.asked is None:
            return [without]
        done = dict(self.known)
        if self.asked.kind == "delete":
            del done[self.asked.name]
        elif self.asked.kind == "update":
            done[self.asked.name] = dataclasses.replace(
                done[self.asked.name], value=self.asked.value)
        elif self.asked.kind == "close":
            done[self.asked.name] = dataclasses.replace(
                done[self.asked.name], is_closed=True)
        else:
            done[None] = self.asked.request.request_id
        return [without, done]


class Watcher(threading.Thread):
    """What a watch tells of listeners until it breaks."""

    def __init__(self, client):
        super().__init__()
        self._call = client.watch()
        self.created = {}  # Known, by uid.
        self.values = {}  # By uid, those that were told.
        self.deleted = set()  # Uids.
        self.start()

    def run(self):
        try:
            for response in self._call:
                for event in response.events:
                    self._note(event)
        except grpc.RpcError:
            pass  # The daemon is gone.

    def _note(self, event):
        kind = event.WhichOneof("kind")
        if kind == "listener_created":
            listener = event.listener_created.listener
            self.created[listener.uid] = Known.of(listener)
        elif kind == "listener_updated":
            listener = event.listener_updated.listener
            self.values.setdefault(listener.uid, []).append(
                listener.spec.labels["value"])
        elif kind == "listener_deleted":
            self.deleted.add(event.listener_deleted.listener.uid)
