"""Refresh tokens that Postgres has refused for good (used, expired, their session over), cached in Redis.

What is refused once is refused for ever, so an entry can never be wrong; a client that keeps asking with a dead token
costs one look-up in Redis instead of a transaction. Nothing depends on it: while Redis is away, or empty, Postgres
alone answers.
"""

import asyncio
import time
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from runtime.logs import get_logger

log = get_logger(__name__)

KEPT_SECONDS: Final = 3_600
ANSWER_SECONDS: Final = 0.1
AWAY_SECONDS: Final = 1.0
"""After a failure Redis is left alone for so long, so that its outage does not slow every refresh down."""


class RefusedTokens:
    """`url` empty: remembers nothing."""

    def __init__(self, url: str) -> None:
        self._redis: Redis | None = None
        if url:
            self._redis = Redis.from_url(
                url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, max_connections=50
            )
        self._ask_from = 0.0

    async def knows(self, token_hash: bytes) -> bool:
        """Whether it was refused before; False also when Redis does not say."""
        if not self._may_ask():
            return False
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return bool(await self._redis_or_fail().exists(_key(token_hash)))
        except (RedisError, OSError, TimeoutError) as error:
            self._note_away(error)
            return False

    async def add(self, token_hash: bytes) -> None:
        """Remembers a refusal that was committed."""
        if not self._may_ask():
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._redis_or_fail().set(_key(token_hash), 1, ex=KEPT_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            self._note_away(error)

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    def _may_ask(self) -> bool:
        return self._redis is not None and time.monotonic() >= self._ask_from

    def _redis_or_fail(self) -> Redis:
        assert self._redis is not None
        return self._redis

    def _note_away(self, error: Exception) -> None:
        self._ask_from = time.monotonic() + AWAY_SECONDS
        log.warning("Redis is away; Postgres alone answers", error=type(error).__name__)


def _key(token_hash: bytes) -> str:
    return f"auth:refused:{token_hash.hex()}"
