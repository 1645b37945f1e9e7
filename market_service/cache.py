"""Redis in front of PostgreSQL: shared by all processes, never needed.

Each entry carries a token, such as the event number it shows. A reader says which token is current; an entry with
another one is not used. So what an event changes is invalid at once wherever the event is known, and the time to live
only bounds what no event tells. Of several readers of one process who miss, one reads. Away: everything is read each
time, and Redis is not asked for a moment.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from market_service.metrics import CACHE
from market_service.sharing import SingleFlight
from runtime.logs import get_logger

log = get_logger(__name__)

LIST_SECONDS: Final = 5
SPOT_SECONDS: Final = 1
HISTORY_SECONDS: Final = 3_600
ANSWER_SECONDS: Final = 0.25
REST_SECONDS: Final = 1.0
"""After a failure Redis is left alone for so long."""
CONNECTIONS_MAX: Final = 20
PREFIX: Final = "market-cache:"


class Cache:
    """`url` empty: nothing is kept, and what is asked for at the same time is still read once."""

    def __init__(self, url: str) -> None:
        self._redis = (
            Redis.from_url(
                url,
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=ANSWER_SECONDS,
                max_connections=CONNECTIONS_MAX,
            )
            if url
            else None
        )
        self._resting_until = 0.0
        self._flights = SingleFlight()

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def get(
        self, what: str, name: str, *, token: str, seconds: int, read: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """What `read` gives, or gave while the token was the same, at most `seconds` ago. Raises what `read` raises."""

        async def look() -> bytes:
            key = f"{PREFIX}{what}:{name}"
            kept = await self._get(key)
            mark = token.encode() + b"\n"
            if kept is not None and kept.startswith(mark):
                CACHE.labels(what, "hit").inc()
                return kept[len(mark) :]
            CACHE.labels(what, "miss").inc()
            made = await read()
            await self._set(key, mark + made, seconds)
            return made

        return await self._flights.do((what, name, token), look)

    async def note(self, name: str, value: str) -> None:
        """A short text that all processes see, such as the last change of any listing."""
        await self._set(f"{PREFIX}note:{name}", value.encode(), HISTORY_SECONDS)

    async def noted(self, name: str) -> str:
        """Empty: nothing for an hour, or Redis is away."""
        value = await self._get(f"{PREFIX}note:{name}")
        return "" if value is None else value.decode()

    @property
    def _is_resting(self) -> bool:
        return self._redis is None or time.monotonic() < self._resting_until

    async def _get(self, key: str) -> bytes | None:
        if self._redis is None or self._is_resting:
            return None
        try:
            value: Any = await self._redis.get(key)
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)
            return None
        return None if value is None else bytes(value)

    async def _set(self, key: str, value: bytes, seconds: int) -> None:
        if self._redis is None or self._is_resting:
            return
        try:
            await self._redis.set(key, value, ex=seconds)
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)

    def _rest(self, error: Exception) -> None:
        self._resting_until = time.monotonic() + REST_SECONDS
        log.warning("the cache is away", error=type(error).__name__)
