"""How people write addresses and names, as the daemon and its CLI read them.

"tcp:HOST:PORT", "HOST:PORT", ":PORT", "tcp:[::1]:80", "unix:/path", and
"unix:@name" for an abstract socket ("unix:./@name" is a file); "web" or
"listeners/web", "a7" or "connections/a7".
"""

import os
import urllib.parse

_EXPECTED = ("an address is tcp:HOST:PORT, tcp:[IPV6]:PORT, unix:/path or "
             "unix:@name; tcp: may be left out")


def where_to_listen(text, directory=None):
    """The text as a portreeve.v1.WhereToListen, as a dict.

    A host that is empty or `*` is every IPv4 address. A relative path counts
    from `directory`, by default the working directory. Raises ValueError.
    """
    kind, value = _parse(text, directory)
    if kind == "unix_socket":
        return {kind: {"path": value}}
    return {kind: {"address": value[0], "port": value[1]}}


def where_to_connect(text, directory=None):
    """As where_to_listen(), of a portreeve.v1.WhereToConnect: there has to be a
    host, and the port is not 0.
    """
    kind, value = _parse(text, directory)
    if kind == "unix_socket":
        return {kind: {"path": value}}
    host, port = value
    if host in ("", "*"):
        raise _wrong(text, "nobody can connect to every address: name a host")
    if port == 0:
        raise _wrong(text, "nobody can connect to port 0")
    return {kind: {"host": host, "port": port}}


def target(text, directory=None):
    """The address of a daemon as gRPC takes it. Raises ValueError."""
    where = where_to_connect(text, directory)
    if "unix_socket" not in where:
        host, port = where["inet"]["host"], where["inet"]["port"]
        return f"dns:///[{host}]:{port}" if ":" in host else \
            f"dns:///{host}:{port}"
    path = where["unix_socket"]["path"]
    scheme = "unix"
    if path.startswith("\0"):
        scheme, path = "unix-abstract", path[1:]
    return f"{scheme}:{urllib.parse.quote(path)}"


def listener_name(text):
    """The full name, "listeners/ID". Raises ValueError."""
    return _name("listeners/", text)


def connection_name(text):
    """The full name, "connections/ID". Raises ValueError."""
    return _name("connections/", text)


def _name(collection, text):
    name = text.removeprefix(collection)
    if not name or "/" in name:
        raise ValueError(f"{text!r} is no name: expected ID or {collection}ID")
    return collection + name


def _wrong(text, why):
    return ValueError(f"{text!r}: {why}; {_EXPECTED}")


def _parse(text, directory):
    if text.startswith("unix:"):
        return "unix_socket", _path(text, text[5:], directory)
    return "inet", _host_and_port(text, text.removeprefix("tcp:"))


def _path(text, path, directory):
    if not path or "\0" in path:
        raise _wrong(text, "no path" if not path else "no path has a NUL byte")
    if not path.startswith("@"):
        # Not normalised: what was written is what the daemon shows.
        return os.path.join(directory or os.getcwd(), path)
    if path == "@":
        raise _wrong(text, "no name after the @")
    return "\0" + path[1:]


def _host_and_port(text, rest):
    host, colon, digits = rest.rpartition(":")
    if not colon:
        raise _wrong(text, "no port")
    if host.startswith("["):
        if not host.endswith("]"):
            raise _wrong(text, "the brackets do not hold an address")
        host = host[1:-1]
    elif ":" in host:
        raise _wrong(text, "an IPv6 address needs brackets")
    if any(c in "[]/ \0" for c in host):
        raise _wrong(text, f"host {host!r} is no host")
    if not (digits.isascii() and digits.isdigit()):
        raise _wrong(text, f"port {digits!r} is no number")
    if len(digits) > 5 or int(digits) > 65535:
        raise _wrong(text, f"port {digits} is not in 0-65535")
    return host, int(digits)
