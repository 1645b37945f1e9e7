"""Many WebSocket clients in a process of their own, as lean as can be: raw TCP, one loop over `epoll`, one look at each
frame's number. Who measures runs it beside the server.

Each frame's moment is noted twice: when it arrived at the client's socket (the kernel's own time stamp), and when this
process, in Python and with all clients on one core, had read it. The first is the server's doing, the second is what a
reader that has so much to do sees. Frames carry `"seq":N`.
"""

from __future__ import annotations

import gc
import multiprocessing
import re
import select
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from bench.report import BenchError

SEQ = re.compile(rb'"seq":(\d+)')
ERROR = b'"type":"error"'
SUBSCRIBED = b'"type":"subscribed"'
OPEN_AT_ONCE = 100
OPEN_SECONDS = 120.0
IDLE_BUFFER_BYTES = 4_096
RECEIVE_BYTES = 65_536
TURN_SECONDS = 0.1
EVENTS_MAX = 1_024
SO_TIMESTAMPNS = 35
"""Linux; Python's `socket` does not name it."""
TIME_STAMP = struct.Struct("qq")
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MASK = b"\0\0\0\0"  # a mask of zeros leaves the text as it is


@dataclass(frozen=True, slots=True)
class Clients:
    """`hello`: the text each sends once it is in, which is answered by a `subscribed`; or nothing. `idle`: how many of
    them never read, and say `idle_hello`."""

    port: int
    path: str
    count: int
    hello: str
    idle: int = 0
    idle_hello: str = ""


@dataclass(frozen=True, slots=True)
class Receipts:
    """When each reading client had one frame, in seconds of Unix time, each list sorted."""

    arrived: Sequence[float]
    read: Sequence[float]


class Load:
    """The other process. Use as a context manager; then ask, one thing at a time. Raises BenchError when a connection
    was refused or closed."""

    def __init__(self, clients: Clients) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(clients, theirs), daemon=True)
        self._process.start()
        self._answer()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def frame(self, seq: int, seconds: float) -> Receipts:
        """Waits until every reading client had the frame of that number."""
        receipts: Receipts = self._ask("frame", seq, seconds)
        return receipts

    def frames(self) -> Mapping[int, Receipts]:
        """All frames since it was asked last."""
        found: Mapping[int, Receipts] = self._ask("frames")
        return found

    def renew_idle(self) -> None:
        """Those that never read are cut off, and as many come anew."""
        self._ask("renew_idle")

    def _ask(self, *question: Any) -> Any:
        self._pipe.send(question)
        return self._answer()

    def _answer(self) -> Any:
        if not self._pipe.poll(OPEN_SECONDS):
            raise BenchError("the clients did not answer")
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise BenchError(answer)
        return answer


def client_frame(text: str) -> bytes:
    """A masked text frame (RFC 6455, 5.2)."""
    body = text.encode()
    assert len(body) < 65_536
    head = bytes((0x81, 0x80 | len(body))) if len(body) < 126 else b"\x81\xfe" + len(body).to_bytes(2, "big")
    return head + MASK + body


class _Crowd:
    """All clients of the process, and the pipe to who asks."""

    def __init__(self, clients: Clients, pipe: Connection) -> None:
        self._clients = clients
        self._pipe = pipe
        self._says_something = bool(clients.hello)
        self._handshake = HANDSHAKE.format(path=clients.path, port=clients.port).encode()
        self._poll = select.epoll()
        self._poll.register(pipe.fileno(), select.EPOLLIN)
        self._readers: dict[int, socket.socket] = {}
        self._idle: list[socket.socket] = []
        self._coming: dict[int, bytes] = {}
        """What those have to say who have not been let in yet; nothing: it was said, and the answer is awaited."""
        self._moments: defaultdict[int, dict[int, tuple[float, float]]] = defaultdict(dict)

    def open(self) -> None:
        self._open_idle()
        self._open(self._clients.count - self._clients.idle, self._clients.hello)

    def serve(self) -> None:
        """Until nobody asks any more."""
        while True:
            if not self._turn():
                continue
            question = self._pipe.recv()
            if question is None:
                return
            self._pipe.send(getattr(self, question[0])(*question[1:]))

    def frame(self, seq: int, seconds: float) -> Receipts:
        wanted, moments = len(self._readers), self._moments[seq]
        self._turn_until(lambda: len(moments) >= wanted, seconds)
        if len(moments) < wanted:
            raise BenchError(f"{wanted - len(moments)} of {wanted} clients did not get frame {seq}")
        for old in [known for known in self._moments if known <= seq]:
            del self._moments[old]
        return _receipts(moments)

    def frames(self) -> Mapping[int, Receipts]:
        found = {seq: _receipts(moments) for seq, moments in self._moments.items()}
        self._moments.clear()
        return found

    def renew_idle(self) -> bool:
        for sock in self._idle:
            sock.close()
        self._idle.clear()
        self._open_idle()
        return True

    def _open_idle(self) -> None:
        """They take little into their own buffers, so that they are soon slow to the server."""
        self._open(self._clients.idle, self._clients.idle_hello, IDLE_BUFFER_BYTES)
        for _ in range(self._clients.idle):
            number, sock = self._readers.popitem()
            self._poll.unregister(number)
            self._idle.append(sock)

    def _open(self, count: int, hello: str, buffer_bytes: int | None = None) -> None:
        said = client_frame(hello) if hello else b""
        for start in range(0, count, OPEN_AT_ONCE):
            for _ in range(start, min(start + OPEN_AT_ONCE, count)):
                self._connect(said, buffer_bytes)
            self._turn_until(lambda: not self._coming, OPEN_SECONDS)
            if self._coming:
                raise BenchError("a client was not let in")

    def _connect(self, said: bytes, buffer_bytes: int | None) -> None:
        sock = socket.socket()
        if buffer_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.connect(("127.0.0.1", self._clients.port))
        sock.send(self._handshake)
        self._readers[sock.fileno()] = sock
        self._coming[sock.fileno()] = said
        self._poll.register(sock.fileno(), select.EPOLLIN)

    def _turn_until(self, condition: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not condition() and time.monotonic() < until:
            self._turn()

    def _turn(self) -> bool:
        """Reads what has come. True when somebody asks."""
        asks = False
        for number, _ in self._poll.poll(TURN_SECONDS, EVENTS_MAX):
            if number in self._readers:
                self._read(number, self._readers[number])
            else:
                asks = True
        return asks

    def _read(self, number: int, sock: socket.socket) -> None:
        data, stamps, _, _ = sock.recvmsg(RECEIVE_BYTES, 64)
        read = time.time()
        if not data:
            raise BenchError("a connection was closed")
        if ERROR in data:
            raise BenchError(f"the server said {data[data.index(ERROR) :][:500]!r}")
        if number in self._coming:
            self._come_in(number, sock, data)
        for found in SEQ.findall(data):
            seconds, nanoseconds = TIME_STAMP.unpack(stamps[0][2])
            self._moments[int(found)].setdefault(number, (seconds + nanoseconds / 1e9, read))

    def _come_in(self, number: int, sock: socket.socket, data: bytes) -> None:
        """Let in, then, where there is something to say, subscribed."""
        if said := self._coming[number]:
            _check_welcome(data)
            sock.send(said)
            self._coming[number] = b""
        elif self._says_something:
            if SUBSCRIBED in data:
                del self._coming[number]
        else:
            _check_welcome(data)
            del self._coming[number]


def _check_welcome(data: bytes) -> None:
    if not data.startswith(b"HTTP/1.1 101"):
        raise BenchError(f"refused: {data[:200]!r}")


def _receipts(moments: Mapping[int, tuple[float, float]]) -> Receipts:
    arrived, read = zip(*moments.values(), strict=True)
    return Receipts(sorted(arrived), sorted(read))


def _main(clients: Clients, pipe: Connection) -> None:
    gc.disable()  # a full pass over all clients would be taken for the server's delay
    try:
        crowd = _Crowd(clients, pipe)
        crowd.open()
        pipe.send(clients.count)
        crowd.serve()
    except (BenchError, OSError) as error:
        pipe.send(f"{type(error).__name__}: {error}")
