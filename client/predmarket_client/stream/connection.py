"""One socket, from its handshake to its end: commands out, paced and answered by id; frames in."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from predmarket_client.errors import ApiError, NoAnswer, ProtocolError
from predmarket_client.stream.frames import Answer, ErrorFrame, Frame, GoAway, Hello, frame_of

PROTOCOL = "predmarket.v1.json"
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 10.0
SILENCE_HEARTBEATS = 2.5
SILENCE_MIN_SECONDS = 5.0
PACE_SHARE = 0.8
"""Of the messages a second that the server allows."""
CLOSE_AUTH_EXPIRED = 4001


class ConnectionEnded(Exception):
    """The socket is gone: come back after `wait_seconds` at least. `expired`: with other credentials."""

    def __init__(self, reason: str, *, wait_seconds: float = 0.0, expired: bool = False) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds
        self.expired = expired


class Connection:
    """Made by `open_connection`; `read` runs it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, hello: Hello) -> None:
        self.following: set[tuple[str, str]] = set()
        self._socket = socket
        self._silence_seconds = max(
            SILENCE_MIN_SECONDS, hello.heartbeat_interval_ms / 1_000 * SILENCE_HEARTBEATS
        )
        self._per_second = max(1, int(hello.limits.messages_per_second * PACE_SHARE))
        self._sent: deque[float] = deque(maxlen=self._per_second)
        self._sending = asyncio.Lock()
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._come_back_seconds = 0.0

    async def command(self, name: str, **fields: Any) -> None:
        """Until the server has answered. Raises ApiError, ConnectionEnded."""
        number = next(self._ids)
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        try:
            await self.send(id=number, cmd=name, **fields)
            async with asyncio.timeout(ANSWER_SECONDS):
                await answered
        except TimeoutError:
            raise ConnectionEnded(f"no answer to {name}") from None
        finally:
            del self._waiting[number]

    async def send(self, **fields: Any) -> None:
        """Without waiting for an answer, but never faster than the server allows."""
        async with self._sending:
            if len(self._sent) == self._sent.maxlen:
                await asyncio.sleep(max(0.0, self._sent[0] + 1.0 - time.monotonic()))
            self._sent.append(time.monotonic())
            try:
                await self._socket.send_str(msgspec.json.encode(fields).decode())
            except (ConnectionError, RuntimeError, aiohttp.ClientError) as error:
                raise ConnectionEnded(type(error).__name__) from error

    async def read(self, take: Callable[[Frame], None]) -> None:
        """Every frame, until the socket ends, which is raised as ConnectionEnded."""
        while True:
            frame = await _received(self._socket, self._silence_seconds, self._come_back_seconds)
            if isinstance(frame, GoAway):
                self._come_back_seconds = frame.reconnect_after_ms / 1_000
            elif isinstance(frame, Answer | ErrorFrame) and frame.id in self._waiting:
                self._settle(self._waiting[frame.id], frame)
            else:
                take(frame)

    async def close(self) -> None:
        """Politely, but not for long."""
        for waiting in self._waiting.values():
            waiting.cancel()
        try:
            async with asyncio.timeout(1):
                await self._socket.close()
        except (TimeoutError, aiohttp.ClientError, ConnectionError):
            return

    def _settle(self, waiting: asyncio.Future[None], frame: Answer | ErrorFrame) -> None:
        if waiting.done():
            return
        if isinstance(frame, ErrorFrame):
            waiting.set_exception(ApiError(frame.code, frame.message, retryable=frame.retryable))
        else:
            waiting.set_result(None)


async def open_connection(session: aiohttp.ClientSession, url: str, authorization: str | None) -> Connection:
    """Raises NoAnswer; ApiError with the handshake's status; ProtocolError when something else speaks there."""
    headers = {} if authorization is None else {"Authorization": authorization}
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await session.ws_connect(
                url, protocols=(PROTOCOL,), headers=headers, max_msg_size=0, compress=0
            )
    except aiohttp.WSServerHandshakeError as error:
        code = {401: "UNAUTHENTICATED", 403: "FORBIDDEN"}.get(error.status, f"HTTP_{error.status}")
        raise ApiError(code, "the live feed refused the handshake", status=error.status) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NoAnswer(f"{url}: {type(error).__name__}") from error
    try:
        hello = await _received(socket, CONNECT_SECONDS, 0.0)
    except ConnectionEnded as error:
        raise NoAnswer(f"{url}: {error}") from error
    if not isinstance(hello, Hello):
        await socket.close()
        raise ProtocolError(f"{url} does not say hello")
    return Connection(socket, hello)


async def _received(
    socket: aiohttp.ClientWebSocketResponse, silence_seconds: float, come_back_seconds: float
) -> Frame:
    try:
        message = await socket.receive(timeout=silence_seconds)
    except TimeoutError:
        raise ConnectionEnded("silence") from None
    if message.type is not aiohttp.WSMsgType.TEXT:
        raise ConnectionEnded(
            f"closed with {socket.close_code}",
            wait_seconds=come_back_seconds,
            expired=socket.close_code == CLOSE_AUTH_EXPIRED,
        )
    return frame_of(message.data)
