"""Checks docs/CONFORMANCE.md: every rule, scenario and name of the original, and
only tests that exist."""

import pathlib
import re
import sys

from tcp_interface import INTERFACE

RULES = [f"C{i}" for i in range(1, 9)] + [f"S{i}" for i in range(1, 15)]
SCENARIOS = (
    [f"a{i}" for i in range(1, 7)]
    + ["b1", "b2", "b3", "b4a", "b4b", "b5", "b6", "b7"]
    + ["c1", "c2", "c3", "c4a", "c4b"]
    + [f"d{i}" for i in range(1, 13)] + ["d13a", "d13b", "d14a", "d14b", "d15"]
    + ["e1", "e2", "e3a", "e3b", "e4", "e5", "e6", "f1", "f2a", "f2b"]
    + [f"f{i}" for i in range(3, 8)] + ["f7b"] + [f"f{i}" for i in range(8, 14)]
    + ["g1", "g1b"] + [f"g{i}" for i in range(2, 10)]
    + [f"h{i}" for i in range(1, 9)] + ["i1", "i2", "i3", "j1", "l1", "l2"]
    + [f"m{i}" for i in range(1, 7)])

CONTRACT = (
    ["types", "defaults", "enums", "listen_addresses", "listener_id",
     "CreateListener", "CloseListener", "CloseFinished", "remembered",
     "UpdateListener", "lists", "builtin", "forward", "remote",
     "on_handler_error", "frames", "back_pressure", "ends", "Attach", "Dial",
     "kinds", "order", "start_revision", "initial_snapshot", "filters", "gap",
     "bursts", "watch_metadata", "close_reasons", "errors", "health",
     "reflection"]
    + ["control", "listen", "flags", "stdout", "descriptors", "signals",
       "client", "tls", "roles", "policy", "audit", "bad_input"])


def tests_in(folder):
    """All tests below the folder: Suite.Test, Suite.test_x, //package:target."""
    names = set()
    for source in folder.rglob("*.cc"):
        for suite, test in re.findall(
                r"^(?:TYPED_TEST|TEST(?:_[FP])?)\(\s*(\w+),\s*(\w+)\)",
                source.read_text(), re.M):
            names.add(f"{suite}.{test}")
    for source in folder.rglob("*_test.py"):
        suite = None
        for kind, name in re.findall(
                r"^(class|    def) (\w+)", source.read_text(), re.M):
            suite = name if kind == "class" else suite
            names.add(f"{suite}.{name}")
    for build in folder.rglob("BUILD.bazel"):
        for target in re.findall(r'"(\w+_test)"', build.read_text()):
            names.add(f"//{build.parent.as_posix()}:{target}")
    return names


def main():
    document = pathlib.Path("docs/CONFORMANCE.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (.+?) \| (.+?) \| (.+?) \|$", document, re.M)
    rows += [(name, what, proof, "same") for name, what, proof in re.findall(
        r"^\| (\w+) \| ([^|]+?) \| ([^|]+?) \|$", document, re.M)]
    known = tests_in(pathlib.Path("tests"))
    wrong = []
    for name in RULES + SCENARIOS + CONTRACT:
        if not any(row[0] == name for row in rows):
            wrong.append(f"no row for {name}")
    for name, _, proof, mark in rows:
        if name in ("rule", "scenario"):
            continue
        tests = re.findall(r"`([^`]+)`", proof)
        if not tests:
            wrong.append(f"{name}: no test")
        wrong += [f"{name}: no test {t}" for t in tests if t not in known]
        if not re.match("same|seed|better", mark):
            wrong.append(f"{name}: no mark")
    interface = re.findall(
        r"^\| `([^`]+)` \| ([^|]+?) \| ([^|]+?) \|$", document, re.M)
    if [name for name, _, _ in interface] != INTERFACE:
        wrong.append("the interface: " + ", ".join(
            sorted({name for name, _, _ in interface} ^ set(INTERFACE)))
            + " missing, unknown, twice or out of order")
    for name, here, proof in interface:
        tests = re.findall(r"`([^`]+)`", proof)
        wrong += [f"{name}: no test {t}" for t in tests if t not in known]
        # What is not here says why, in place of a test.
        if bool(tests) == bool(re.match("not here: .{10}", here)):
            wrong.append(f"{name}: neither a test nor a reason, or both")
    print("\n".join(wrong) or f"{len(rows) + len(interface)} rows, {len(known)} tests known")
    return 1 if wrong or len(known) < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
