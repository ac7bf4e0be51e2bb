"""Why a call has failed, and whether it is made once more."""

import grpc
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"


def reason_of(error):
    """The daemon's reason, like "MOVED"; "" where it has given none."""
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS:
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                return info.reason
    return ""


def has_moved(error):
    """Whether the daemon's process was replaced before it did what was asked
    for: nothing was done, and the same call reaches the next one.
    """
    return (error.code() == grpc.StatusCode.UNAVAILABLE and
            reason_of(error) == "MOVED")


def is_of_grpc(error, *codes):
    """Whether it has one of these codes, and not from the daemon."""
    return error.code() in codes and not reason_of(error)


async def repeated(call, is_harmless=True):
    """What the coroutine function `call` gives, which is called once more where
    an upgrade of the daemon has crossed it. `is_harmless`: it may be done
    twice; then it is, too, where gRPC has ended it because its server goes.
    """
    try:
        return await call()
    except grpc.aio.AioRpcError as error:
        was_lost = is_harmless and is_of_grpc(error, grpc.StatusCode.CANCELLED)
        if not (was_lost or has_moved(error)):
            raise
    return await call()
