"""layering.py: prints what is wrong with the includes of the checkout that is
the working directory, a fault a line, and exits with 1 if there is any.

What a wing of lib/ or server/ may include is in the table of
docs/ARCHITECTURE.md, each row of which stands on rows above it.
"""
import os
import re
import sys

FOLDERS = ("lib", "server", "client", "bench")
# What client and server stand on both, and each of which stands on nothing of
# ours.
LEAVES = ("command_line", "listener_files")
# Of the server, who may see headers of gRPC.
KNOW_GRPC = re.compile(
    r"server/(about|calls|stats|watch|daemon)/[^/]+"
    r"|server/live/event_(feed|text)\.(h|cc)"
    r"|server/access/gate\.(h|cc)"
    r"|server/control/control_calls\.(h|cc)"
    r"|server/control/control_memory\.cc")
# Headers of ours that bring gRPC's along, in wings that do not know it.
BRING_GRPC = ("server/access/gate.h", "server/control/control_calls.h")
# Who may not see those of protobuf.
NO_PROTOBUF = re.compile(r"lib/.*|server/(handlers|control|http|page)/.*")
# Who may see those of Boost.Beast, which take long to compile.
KNOW_BEAST = re.compile(r"server/http/(request_reader|answer_head)\.cc")

# What the client sees of the server, and in which file alone; the header knows
# nothing but Abseil.
FRONT = {"client/cli/state.cc": "server/state/offline.h"}

ROW = re.compile(r"\| `((?:lib|server)/\w+)` \|[^|]*\|([^|]*)\|")
INCLUDE = re.compile(r"^[ \t]*#[ \t]*(?:include|import)\b[ \t]*(.*)$", re.M)
NAME = re.compile(r'(?:"([^"]+)"|<([^>]+)>)')
GRPC = re.compile(r"grpc(pp|\+\+)?/.*|.*\.grpc\.pb\.h")
PROTOBUF = re.compile(r"google/.*|proto/.*|.*\.pb\.h")
# What lib stands below.
NAMESPACE_ABOVE = re.compile(r"^namespace portreeve::(server|client|cli)\b", re.M)


def read_table():
    """Gives {wing: the wings on which it stands}, and the faults of it."""
    faults = []
    rows = {}
    with open("docs/ARCHITECTURE.md", encoding="utf-8") as page:
        for wing, column in ROW.findall(page.read()):
            below = re.findall(r"`([^`]+)`", column)
            faults += [f"docs/ARCHITECTURE.md: {wing} stands on {other}, which "
                       "is not above it" for other in below if other not in rows]
            rows[wing] = set(below)
    return rows, faults


def sources():
    for folder in FOLDERS + LEAVES:
        for path, _, names in os.walk(folder, followlinks=True):
            for name in names:
                if name.endswith((".h", ".cc")):
                    yield f"{path}/{name}"


def includes(path):
    """Gives the name of each header that is included, None for what is none,
    such as a macro."""
    with open(path, encoding="utf-8") as file:
        for rest in INCLUDE.findall(file.read()):
            name = NAME.match(rest)
            if name is None:
                yield None
            elif name[1] is not None and "/" not in os.path.normpath(name[1]):
                yield None  # It counts from the file's own folder.
            else:
                yield os.path.normpath(name[1] or name[2])


def is_in_namespace_above(path):
    if not path.startswith("lib/"):
        return False
    with open(path, encoding="utf-8") as file:
        return NAMESPACE_ABOVE.search(file.read()) is not None


def fault_of(path, wing, name, rows):
    """Says what is wrong with an include of `name`, or gives None."""
    top = path.split("/")[0]
    if name is None:
        return "includes what is no path from the root"
    if FRONT.get(path) == name:
        return None
    if path in FRONT.values() and (PROTOBUF.fullmatch(name) or
                                   name.split("/")[0] in FOLDERS):
        return f"includes {name}, and the client may not see it"
    if top in ("lib", "server") + LEAVES:
        if ((GRPC.fullmatch(name) or name in BRING_GRPC)
                and not KNOW_GRPC.fullmatch(path)):
            return f"includes {name}, and may not know gRPC"
        if PROTOBUF.fullmatch(name) and NO_PROTOBUF.fullmatch(path):
            return f"includes {name}, and may not know protobuf"
    if name.startswith("boost/beast") and not KNOW_BEAST.fullmatch(path):
        return f"includes {name}, which two files alone may"
    other = name.split("/")[0]
    if other in LEAVES and (top in ("client", other) or
                            wing == "server/daemon"):
        return None
    if other in LEAVES or top in LEAVES and other in FOLDERS + ("tests",):
        return f"includes {name}"
    if other not in FOLDERS + ("tests", "examples"):
        return None
    if top in ("client", "bench"):
        return None if other == top else f"includes {name}"
    other_wing = os.path.dirname(name)
    if other_wing == wing or other_wing in rows.get(wing, ()):
        return None
    return f"includes {name}, on which {wing} does not stand"


def main():
    rows, faults = read_table()
    seen = {wing: set() for wing in rows}
    count = dict.fromkeys(FOLDERS, 0)
    for path in sources():
        if path.split("/")[0] in count:
            count[path.split("/")[0]] += 1
        wing = os.path.dirname(path)
        if path == "server/main.cc":
            wing = "server/daemon"  # It may include what that may.
        elif path.startswith(("lib/", "server/")) and wing not in rows:
            faults.append(f"{path}: lies in no wing")
        if is_in_namespace_above(path):
            faults.append(f"{path}: is in a namespace above lib")
        for name in includes(path):
            fault = fault_of(path, wing, name, rows)
            if fault:
                faults.append(f"{path}: {fault}")
            if name and wing in seen:
                seen[wing].add(os.path.dirname(name))
    for wing, below in rows.items():
        faults += [f"docs/ARCHITECTURE.md: {wing} does not stand on {other}"
                   for other in below - seen[wing]]
    faults += [f"{folder}: only {number} sources"
               for folder, number in count.items() if number < 10]
    print("\n".join(sorted(faults)), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
