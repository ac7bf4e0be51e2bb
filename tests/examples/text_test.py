"""Addresses and names as the modules read them: as everybody, by one table."""

import json
import os
import subprocess
import tempfile
import unittest

from harness import LANGUAGE, NODE, Daemon, Peer, Process, command, main

TABLES = "tests/texts"
DIRECTORY = "/home/me"


def read(table):
    with open(f"{TABLES}/{table}.json", encoding="utf-8") as file:
        rows = json.load(file)
    assert len(rows) > 10
    return rows


class Reader:
    """Asks the module under test; answers are results, or None for errors."""

    def ask(self, function, texts):
        if LANGUAGE == "node":
            return self._ask_node(function, texts)
        import portreeve.text
        names = {"whereToListen": "where_to_listen",
                 "whereToConnect": "where_to_connect",
                 "listenerName": "listener_name",
                 "connectionName": "connection_name"}
        more = [DIRECTORY] if function.startswith("where") else []
        answers = []
        for text in texts:
            try:
                answers.append(
                    getattr(portreeve.text, names[function])(text, *more))
            except ValueError:
                answers.append(None)
        return answers

    def _ask_node(self, function, texts):
        script = """
            const [module_, f, texts, more] = JSON.parse(process.argv[1]);
            const read = require(module_)[f];
            console.log(JSON.stringify(texts.map((text) => {
              try {
                return read(text, ...more);
              } catch (error) {
                if (!(error instanceof TypeError)) throw error;
                return null;
              }
            })));"""
        more = [DIRECTORY] if function.startswith("where") else []
        module = os.path.abspath("examples/node/portreeve_text.js")
        return json.loads(subprocess.check_output(
            NODE + ["-e", script, json.dumps([module, function, texts, more])]))


def shown(where):
    """As in the table."""
    if where is None:
        return None
    if "unix_socket" in where:
        return where["unix_socket"]["path"]
    inet = where["inet"]
    return f"{inet.get('address', inet.get('host'))} {inet['port']}"


class TextTest(unittest.TestCase):

    def test_addresses(self):
        rows = read("addresses")
        texts = [row["text"] for row in rows]
        reader = Reader()
        listens = map(shown, reader.ask("whereToListen", texts))
        connects = map(shown, reader.ask("whereToConnect", texts))
        for row, listen, connect in zip(rows, listens, connects, strict=True):
            with self.subTest(row["text"]):
                self.assertEqual(listen, row["listens"])
                self.assertEqual(connect, row.get("connects", row["listens"]))

    def test_names(self):
        rows = read("names")
        texts = [row["text"] for row in rows]
        reader = Reader()
        for kind in ("listener", "connection"):
            answers = reader.ask(f"{kind}Name", texts)
            for row, answer in zip(rows, answers, strict=True):
                with self.subTest(row["text"]):
                    self.assertEqual(answer, row[kind])

    def test_the_daemon_is_that_of_the_environment(self):
        daemon = self.enterContext(Daemon())
        address = daemon.create("web")
        environment = dict(os.environ, PORTREEVE_SERVER=f"tcp:{daemon.target}")
        worker = self.enterContext(
            Process(command("echo") + ["web"], env=environment))
        worker.line("serving")
        peer = self.enterContext(Peer(address))
        self.assertEqual(peer.echo(b"hello"), b"hello")

    def test_else_it_is_that_of_the_package(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(dir="/tmp"))
        environment = {name: value for name, value in os.environ.items()
                       if name != "PORTREEVE_SERVER"}
        environment["FOLDER"] = folder
        # Where /run/portreeve is that folder.
        inside = ["unshare", "--mount", "sh", "-ec",
                  "mount -t tmpfs none /run; mkdir /run/portreeve; "
                  'mount --bind "$FOLDER" /run/portreeve; exec "$@"', "sh"]
        if subprocess.run([*inside, "true"], env=environment).returncode != 0:
            self.skipTest("mounts are not allowed here")
        daemon = self.enterContext(
            Daemon(arguments=("--control", f"unix:{folder}/control")))
        address = daemon.create("web")
        worker = self.enterContext(
            Process([*inside, *command("echo"), "web"], env=environment))
        worker.line("serving")
        peer = self.enterContext(Peer(address))
        self.assertEqual(peer.echo(b"hello"), b"hello")


if __name__ == "__main__":
    main()
