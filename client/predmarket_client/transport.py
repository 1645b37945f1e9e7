"""One HTTP request, one reply. Knows nothing of what they mean."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from predmarket_client.errors import NoAnswer

CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Request:
    """`path` begins with a slash."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """As it came; names of headers in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpTransport:
    """Keeps connections alive. The session is made in the loop that first sends, and closed by `close`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> aiohttp.ClientSession:
        """Shared with the WebSocket."""
        if self._session is None:
            self._session = aiohttp.ClientSession(raise_for_status=False)
        return self._session

    async def send(self, request: Request, *, seconds: float) -> Reply:
        """Raises NoAnswer when there is none in time."""
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, CONNECT_SECONDS))
        try:
            async with self.session().request(
                request.method,
                self._url + request.path,
                params=request.query or None,
                headers=request.headers,
                data=request.body,
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                return Reply(answer.status, answer.headers, await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(f"{request.method} {request.path}: {type(error).__name__}") from error

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # aiohttp lets its connections go in the next turn of the loop
