"""Many WebSocket clients in a process of their own, as lean as can be: raw TCP, one `recv` buffer each, one look at the
frame's number. It says when each frame was there; who measures runs it beside the server.

Frames carry `"seq":N`; a client that never reads is opened and then left alone.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from bench.report import BenchError

SEQ = re.compile(rb'"seq":(\d+)')
OPEN_AT_ONCE = 100
OPEN_SECONDS = 120.0
IDLE_BUFFER_BYTES = 4_096
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MASK = b"\0\0\0\0"  # a mask of zeros leaves the text as it is


@dataclass(frozen=True, slots=True)
class Clients:
    """`hello`: the text each sends once it is in, or nothing. `idle`: how many of them never read, and say
    `idle_hello`."""

    port: int
    path: str
    count: int
    hello: str
    idle: int = 0
    idle_hello: str = ""


def client_frame(text: str) -> bytes:
    """A masked text frame (RFC 6455, 5.2)."""
    body = text.encode()
    assert len(body) < 65_536
    head = bytes((0x81, 0x80 | len(body))) if len(body) < 126 else b"\x81\xfe" + len(body).to_bytes(2, "big")
    return head + MASK + body


class Load:
    """The other process. Use as a context manager; `receipts` after each frame."""

    def __init__(self, clients: Clients) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(clients, theirs), daemon=True)
        self._process.start()
        self.opened = self._answer()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_error: object) -> None:
        self._pipe.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def receipts(self, seq: int, seconds: float) -> Sequence[float]:
        """When (perf_counter, which all processes share) each reading client had the frame of that number, sorted."""
        self._pipe.send((seq, seconds))
        answer: Sequence[float] = self._answer()
        return answer

    def _answer(self) -> Any:
        if not self._pipe.poll(OPEN_SECONDS):
            raise BenchError("the clients did not answer")
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise BenchError(answer)
        return answer


class _Client(asyncio.Protocol):
    def __init__(self, load: _Loads, hello: bytes, *, reads: bool) -> None:
        self._load = load
        self._hello = hello
        self._reads = reads
        self._is_in = False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(self._load.handshake)

    def data_received(self, data: bytes) -> None:
        if not self._is_in:
            if not data.startswith(b"HTTP/1.1 101"):
                self._load.fail(f"refused: {data[:80]!r}")
                return
            self._is_in = True
            if self._hello:
                self._transport.write(self._hello)
            self._load.one_is_in()
            if not self._reads:
                self._transport.pause_reading()
                return
        for found in SEQ.findall(data):
            self._load.received(int(found))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._load.is_over and self._reads:
            self._load.fail("a connection was closed")


class _Loads:
    """All clients of the process."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.handshake = HANDSHAKE.format(path=clients.path, port=clients.port).encode()
        self.is_over = False
        self.failure: str | None = None
        self.moments: dict[int, list[float]] = {}
        self._in = 0
        self._changed = asyncio.Event()

    async def open(self) -> None:
        hello = client_frame(self.clients.hello) if self.clients.hello else b""
        idle_hello = client_frame(self.clients.idle_hello) if self.clients.idle_hello else b""
        for start in range(0, self.clients.count, OPEN_AT_ONCE):
            numbers = range(start, min(start + OPEN_AT_ONCE, self.clients.count))
            await asyncio.gather(
                *(
                    self._connect(number, hello if number >= self.clients.idle else idle_hello)
                    for number in numbers
                )
            )
            await self._until(partial(self._are_in, numbers.stop), OPEN_SECONDS)

    async def _connect(self, number: int, hello: bytes) -> None:
        """An idle client takes little into its own buffer, so that it is soon slow to the server."""
        sock = socket.socket()
        reads = number >= self.clients.idle
        if not reads:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, IDLE_BUFFER_BYTES)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", self.clients.port))
        await loop.create_connection(partial(_Client, self, hello, reads=reads), sock=sock)

    async def wait(self, seq: int, seconds: float) -> list[float]:
        """All moments of that frame, or the failure."""
        wanted = self.clients.count - self.clients.idle
        moments = self.moments.setdefault(seq, [])
        await self._until(lambda: len(moments) >= wanted, seconds)
        if len(moments) < wanted:
            raise BenchError(f"{wanted - len(moments)} of {wanted} clients did not get frame {seq}")
        for old in [known for known in self.moments if known <= seq]:
            del self.moments[old]
        return sorted(moments)

    def _are_in(self, count: int) -> bool:
        return self._in >= count

    def one_is_in(self) -> None:
        self._in += 1
        self._changed.set()

    def received(self, seq: int) -> None:
        moments = self.moments.setdefault(seq, [])
        moments.append(time.perf_counter())
        if len(moments) >= self.clients.count - self.clients.idle:
            self._changed.set()

    def fail(self, reason: str) -> None:
        self.failure = self.failure or reason
        self._changed.set()

    async def _until(self, condition: Any, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition() and self.failure is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return
        if self.failure is not None:
            raise BenchError(self.failure)


def _main(clients: Clients, pipe: Connection) -> None:
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_serve(clients, pipe))


async def _serve(clients: Clients, pipe: Connection) -> None:
    loads = _Loads(clients)
    try:
        await loads.open()
        pipe.send(clients.count)
        while (asked := await asyncio.to_thread(pipe.recv)) is not None:
            pipe.send(await loads.wait(*asked))
    except BenchError as error:
        pipe.send(str(error))
    loads.is_over = True
