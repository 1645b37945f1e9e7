"""One client's socket: frames go straight to its transport, and a slow one waits, collapses or is closed.

Book frames are never queued: a socket that is behind gets one fresh snapshot when it has caught up. Trades, status
and answers wait in order, up to a bound; beyond it the socket is closed with 4008.
"""

import asyncio
from collections import deque
from typing import Any

from aiohttp import web

from ws_service.metrics import CLOSED, SLOW_SOCKETS

BUFFERED_MAX_BYTES = 256 * 1024  # in the transport; then the reader counts as slow
BUFFERED_RESUME_BYTES = 32 * 1024
WAITING_MAX_FRAMES = 1_000
WAITING_MAX_BYTES = 1024 * 1024
SLOW_MAX_SECONDS = 30.0
CLOSE_SECONDS = 2.0

CLOSE_GOING_AWAY = 1001
CLOSE_POLICY = 1008
CLOSE_SLOW = 4008
CLOSE_RATE_LIMITED = 4029


class Socket:
    """Used on the loop's thread only."""

    def __init__(self, response: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self.subscriptions: set[tuple[str, str]] = set()
        """(channel, market id or *)."""
        self.behind: set[str] = set()
        """Markets whose book this socket must be given anew."""
        self.is_closing = False
        self.close_code = 0
        self._response = response
        self._transport = transport
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._slow_since: float | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_slow(self) -> bool:
        return self._slow_since is not None

    def send(self, frame: bytes) -> None:
        """In order, and not to be lost: trades, status, answers."""
        if self.is_closing:
            return
        if not self._has_room():
            self._wait(frame)
        else:
            self._transport.write(frame)

    def send_book(self, market_id: str, frame: bytes) -> bool:
        """False when the socket is slow: it will need a snapshot."""
        if self.is_closing:
            return True
        if not self._has_room():
            self.behind.add(market_id)
            return False
        self._transport.write(frame)
        return True

    def catch_up(self) -> bool:
        """Write what waits, as far as there is room. True when the socket is no longer slow."""
        if self.is_closing or self._slow_since is None:
            return True
        if asyncio.get_running_loop().time() - self._slow_since > SLOW_MAX_SECONDS:
            self.close(CLOSE_SLOW, "slow consumer")
            return True
        while self._waiting and self._transport.get_write_buffer_size() <= BUFFERED_RESUME_BYTES:
            frame = self._waiting.popleft()
            self._waiting_bytes -= len(frame)
            self._transport.write(frame)
        if self._waiting or self._transport.get_write_buffer_size() > BUFFERED_RESUME_BYTES:
            return False
        self._slow_since = None
        SLOW_SOCKETS.dec()
        return True

    def close(self, code: int, reason: str) -> None:
        """Once; a client that does not answer is cut off."""
        if self.is_closing:
            return
        self.is_closing, self.close_code = True, code
        CLOSED.labels(str(code)).inc()
        if self._slow_since is not None:
            self._slow_since = None
            SLOW_SOCKETS.dec()
        self._closing = asyncio.create_task(self._close(code, reason), name="close socket")

    async def closed(self) -> None:
        """Waits for a close under way."""
        if self._closing is not None:
            await self._closing

    def gone(self) -> None:
        """The client has left; nothing is written any more."""
        if not self.is_closing:
            self.is_closing = True
            if self._slow_since is not None:
                self._slow_since = None
                SLOW_SOCKETS.dec()

    def _has_room(self) -> bool:
        if self._slow_since is None and self._transport.get_write_buffer_size() > BUFFERED_MAX_BYTES:
            self._slow_since = asyncio.get_running_loop().time()
            SLOW_SOCKETS.inc()
        return self._slow_since is None

    def _wait(self, frame: bytes) -> None:
        self._waiting.append(frame)
        self._waiting_bytes += len(frame)
        if len(self._waiting) > WAITING_MAX_FRAMES or self._waiting_bytes > WAITING_MAX_BYTES:
            self._waiting.clear()
            self.close(CLOSE_SLOW, "slow consumer")

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._response.close(code=code, message=reason.encode(), drain=False)
        except (TimeoutError, ConnectionError, RuntimeError):
            self._transport.abort()
        if not self._transport.is_closing():
            self._transport.close()


def transport_of(request: web.Request) -> asyncio.Transport:
    """Of a request that is being answered."""
    transport: Any = request.transport
    if transport is None:
        raise ConnectionResetError
    checked: asyncio.Transport = transport
    return checked
