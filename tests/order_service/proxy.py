"""A TCP proxy in front of PostgreSQL that loses the reply of a COMMIT, or the COMMIT itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum


class Fault(Enum):
    NONE = 0
    CUT_BEFORE_COMMIT = 1
    """The COMMIT never reaches the server."""
    CUT_AFTER_COMMIT = 2
    """The server commits; nobody hears of it."""
    HANG_AFTER_COMMIT = 3
    """The same, and the connection stays open in silence."""


class CommitProxy:
    """Acts on the next COMMIT only."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._server_port = host, port
        self.port = 0
        self.fault = Fault.NONE
        self.struck = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._host, self._server_port)
        lost = asyncio.Event()
        down = asyncio.create_task(self._down(up_reader, writer, lost))
        self._tasks.add(down)
        try:
            while data := await reader.read(65_536):
                if b"COMMIT\x00" in data and self.fault is not Fault.NONE:
                    fault, self.fault = self.fault, Fault.NONE
                    self.struck += 1
                    if fault is Fault.CUT_BEFORE_COMMIT:
                        break
                    lost.set()
                    up_writer.write(data)
                    await up_writer.drain()
                    await asyncio.sleep(0.3 if fault is Fault.CUT_AFTER_COMMIT else 60)
                    break
                up_writer.write(data)
                await up_writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            down.cancel()
            for each in (writer, up_writer):
                with suppress(OSError, RuntimeError):
                    each.transport.abort()

    async def _down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event
    ) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65_536):
                if not lost.is_set():
                    writer.write(data)
                    await writer.drain()
            writer.close()


@asynccontextmanager
async def commit_proxy(host: str, port: int) -> AsyncIterator[CommitProxy]:
    proxy = CommitProxy(host, port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
