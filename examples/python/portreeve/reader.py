"""A reader that can tell whose doing an error is."""

import asyncio


class PeerReader(asyncio.StreamReader):
    """asyncio's own, which marks the errors that its peer has caused.

    These are an end in the midst of what was asked for (IncompleteReadError),
    and a line or a part that is longer than the limit (LimitOverrunError, of
    which readline() makes a ValueError). Equal errors of other readers, and
    those of wrong arguments, are not marked.
    """

    def was_ended_by_peer(self, error):
        """Whether this very exception is one of these."""
        return getattr(error, "portreeve_reader", None) is self

    async def readline(self):
        try:
            return await super().readline()
        except ValueError as error:
            error.portreeve_reader = self
            raise

    async def readuntil(self, separator=b"\n"):
        try:
            return await super().readuntil(separator)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            error.portreeve_reader = self
            raise

    async def readexactly(self, n):
        try:
            return await super().readexactly(n)
        except asyncio.IncompleteReadError as error:
            error.portreeve_reader = self
            raise
