"""One client's socket: frames go straight to its transport, and a slow one waits, collapses or is closed.

Book and ticker frames are never queued: a socket that is behind gets one fresh frame when it has caught up. Trades,
status, own events and answers wait in order, up to a bound; beyond it the socket is closed with 4008. All sockets
together may let no more wait than the backlog holds; who would go beyond is closed with 1013.
"""

import asyncio
import socket
from collections import deque
from typing import Any

from aiohttp import web

from runtime.identity import Identity
from ws_service.metrics import BACKLOG_BYTES, CLOSED, SLOW_SOCKETS

BUFFERED_MAX_BYTES = 256 * 1024  # in the transport; then the reader counts as slow
BUFFERED_RESUME_BYTES = 32 * 1024
KERNEL_BUFFER_BYTES = 64 * 1024
"""What the kernel may hold of one socket (it doubles the figure for its own book-keeping). Left alone it would hold
4 MiB, and a thousand sockets that never read would take the memory that all connections of the machine share."""
WAITING_MAX_FRAMES = 1_000
WAITING_MAX_BYTES = 1024 * 1024
SLOW_MAX_SECONDS = 30.0
CLOSE_SECONDS = 2.0

CLOSE_GOING_AWAY = 1001
CLOSE_POLICY = 1008
CLOSE_INTERNAL = 1011
CLOSE_TRY_LATER = 1013
CLOSE_AUTH_EXPIRED = 4001
CLOSE_SLOW = 4008
CLOSE_RATE_LIMITED = 4029

Key = tuple[str, str]
"""(channel, market id, `*`, or nothing for the own events)."""


class Backlog:
    """What waits for slow readers, of all sockets together."""

    def __init__(self, max_bytes: int) -> None:
        self.slow: set[Socket] = set()
        self._bytes = 0
        self._max_bytes = max_bytes

    def add(self, bytes_more: int) -> bool:
        """False when that is too much. Negative when something no longer waits."""
        self._bytes += bytes_more
        BACKLOG_BYTES.set(self._bytes)
        return self._bytes <= self._max_bytes

    def mark(self, socket: "Socket", *, slow: bool) -> None:
        if slow:
            self.slow.add(socket)
        else:
            self.slow.discard(socket)
        SLOW_SOCKETS.set(len(self.slow))


class Socket:
    """Used on the loop's thread only."""

    __slots__ = (
        "_backlog",
        "_closing",
        "_response",
        "_slow_since",
        "_transport",
        "_waiting",
        "_waiting_bytes",
        "api_key",
        "behind",
        "close_code",
        "identity",
        "is_closing",
        "subscriptions",
    )

    def __init__(
        self, response: web.WebSocketResponse, transport: asyncio.Transport, backlog: Backlog
    ) -> None:
        self.subscriptions: set[Key] = set()
        self.behind: set[Key] = set()
        """Books and tickers that this socket must be given anew."""
        self.identity: Identity | None = None
        self.api_key: str | None = None
        """The `Authorization` header it came with, when that is an API key, to be looked at again."""
        self.is_closing = False
        self.close_code = 0
        self._response = response
        self._transport = transport
        self._backlog = backlog
        self._waiting: deque[bytes] | None = None  # made when needed: most sockets never are slow
        self._waiting_bytes = 0
        self._slow_since: float | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_slow(self) -> bool:
        return self._slow_since is not None

    def send(self, frame: bytes) -> None:
        """In order, and not to be lost: trades, status, own events, answers."""
        if self._is_gone():
            return
        if not self._has_room():
            self._wait(frame)
        else:
            self._transport.write(frame)

    def send_latest(self, key: Key, frame: bytes) -> None:
        """Of a book or a ticker: a slow socket gets a fresh one later, instead of this one."""
        if self._is_gone():
            return
        if not self._has_room():
            self.behind.add(key)
        else:
            self._transport.write(frame)

    def catch_up(self) -> bool:
        """Write what waits, as far as there is room. True when the socket is no longer slow."""
        if self._is_gone() or self._slow_since is None:
            return True
        if asyncio.get_running_loop().time() - self._slow_since > SLOW_MAX_SECONDS:
            self.close(CLOSE_SLOW, "slow consumer")
            return True
        while self._waiting and self._transport.get_write_buffer_size() <= BUFFERED_RESUME_BYTES:
            frame = self._waiting.popleft()
            self._waiting_bytes -= len(frame)
            self._backlog.add(-len(frame))
            self._transport.write(frame)
        if self._waiting or self._transport.get_write_buffer_size() > BUFFERED_RESUME_BYTES:
            return False
        self._waiting = None
        self._slow_since = None
        self._backlog.mark(self, slow=False)
        return True

    def close(self, code: int, reason: str) -> None:
        """Once; a client that does not answer is cut off."""
        if self.is_closing:
            return
        self.close_code = code
        CLOSED.labels(str(code)).inc()
        self.gone()
        self._closing = asyncio.create_task(self._close(code, reason), name="close socket")

    async def closed(self) -> None:
        """Waits for a close under way."""
        if self._closing is not None:
            await self._closing

    def gone(self) -> None:
        """Nothing is written any more, and nothing waits."""
        if self.is_closing:
            return
        self.is_closing = True
        self._backlog.add(-self._waiting_bytes)
        self._waiting = None
        self._waiting_bytes = 0
        self.behind.clear()
        self._slow_since = None
        self._backlog.mark(self, slow=False)

    def _is_gone(self) -> bool:
        """The client may have left a moment before its session knows, and to write then is an error."""
        return self.is_closing or self._transport.is_closing()

    def _has_room(self) -> bool:
        if self._slow_since is None and self._transport.get_write_buffer_size() > BUFFERED_MAX_BYTES:
            self._slow_since = asyncio.get_running_loop().time()
            self._backlog.mark(self, slow=True)
        return self._slow_since is None

    def _wait(self, frame: bytes) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(frame)
        self._waiting_bytes += len(frame)
        has_room = self._backlog.add(len(frame))
        if len(self._waiting) > WAITING_MAX_FRAMES or self._waiting_bytes > WAITING_MAX_BYTES:
            self.close(CLOSE_SLOW, "slow consumer")
        elif not has_room:
            self.close(CLOSE_TRY_LATER, "too much waits for slow readers")

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._response.close(code=code, message=reason.encode(), drain=False)
        except (TimeoutError, ConnectionError, RuntimeError):
            self._transport.abort()
        if not self._transport.is_closing():
            self._transport.close()


def transport_of(request: web.Request) -> asyncio.Transport:
    """Of a request that is being answered; from now on with a bounded buffer in the kernel."""
    transport: Any = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)
    checked: asyncio.Transport = transport
    return checked
