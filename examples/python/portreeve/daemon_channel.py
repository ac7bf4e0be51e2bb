"""Channels to daemons, as the environment has them."""

import os
import stat

import grpc

from portreeve.text import target

_DEFAULT_SERVER = "tcp:127.0.0.1:50051"
_CONTROL_SOCKET = "/run/portreeve/control"

# A window that grows would only move bytes from the peers into this process.
_OPTIONS = [
    ("grpc.http2.bdp_probe", 0),
    # How long calls fail at once after a connection could not be made: shorter
    # than the waits of Retry.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


def channel(address=None):
    """A channel to a daemon, like "127.0.0.1:50051" or "unix:/run/p.sock".

    As with the CLI, PORTREEVE_SERVER is the address where there is none, else
    unix:/run/portreeve/control if that is a socket and TLS is not asked for,
    else tcp:127.0.0.1:50051; and with PORTREEVE_TLS_CA it is TLS, with
    PORTREEVE_TLS_CERT, PORTREEVE_TLS_KEY and PORTREEVE_TLS_SERVER_NAME. Raises
    ValueError for what is no address or no whole TLS, OSError for its files.
    """
    where = target(address or os.environ.get("PORTREEVE_SERVER") or
                   _default_server())
    variables = {name: os.environ.get(f"PORTREEVE_TLS_{name}") or None
                 for name in ("CA", "CERT", "KEY", "SERVER_NAME")}
    if bool(variables["CERT"]) != bool(variables["KEY"]):
        raise ValueError("PORTREEVE_TLS_CERT and PORTREEVE_TLS_KEY go together")
    if not variables["CA"]:
        if variables["CERT"] or variables["SERVER_NAME"]:
            raise ValueError("PORTREEVE_TLS_... need PORTREEVE_TLS_CA")
        return grpc.aio.insecure_channel(where, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        *(_read(variables[name]) for name in ("CA", "KEY", "CERT")))
    name = variables["SERVER_NAME"]
    options = _OPTIONS + ([("grpc.ssl_target_name_override", name)]
                          if name else [])
    return grpc.aio.secure_channel(where, credentials, options=options)


def _default_server():
    # No unix socket speaks TLS.
    if not os.environ.get("PORTREEVE_TLS_CA"):
        try:
            if stat.S_ISSOCK(os.stat(_CONTROL_SOCKET).st_mode):
                return f"unix:{_CONTROL_SOCKET}"
        except OSError:
            pass
    return _DEFAULT_SERVER


def _read(path):
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()
