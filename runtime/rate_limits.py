"""Rate limits that all processes share: a sliding window in Redis, decided by one atomic step on the server's clock.

    limiter = RateLimiter(settings.redis_url.get_secret_value())
    verdict = await limiter.admit("trades:user:<id>", Limit(30), cost=1)
    if not verdict.admitted: ...verdict.retry_after_seconds

In *any* window of the limit's length at most `count` is admitted, not only in windows that begin at full minutes. Up
to EXACT_MAX each admission is remembered by its microsecond, and its place is free again exactly when the window has
passed. A larger limit is counted in SUB_BUCKETS parts of the window, each counted whole while any of it may still
matter: memory stays bounded, and the only price is that a place is free again later by at most one part (0.6 s of a
minute).

Checks that come while steps are under way go together in the next one. Redis keeps the counters in memory only: one
that restarts empty begins anew, and nobody is refused for it.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from runtime.errors import ApiError, ErrorCode
from runtime.logs import get_logger

log = get_logger(__name__)

EXACT_MAX: Final = 120
"""Limits up to this one remember every admission."""

SUB_BUCKETS: Final = 100
ANSWER_SECONDS: Final = 1.0
"""So long a check waits for Redis; then it counts as away."""

HELD_UP_SECONDS: Final = 0.05
"""When this process itself comes back so late from the wait, the answer may long be there: it waits once more."""

AWAY_SECONDS: Final = 0.5
"""After a failure Redis is left alone for so long: nobody waits for what has just not answered."""

TOGETHER_MAX: Final = 200
WAITING_MAX: Final = 10_000
IN_FLIGHT_MAX: Final = 2
KEY_MAX_CHARACTERS: Final = 200
SCRIPT = Path(__file__).with_suffix(".lua").read_text()


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` in any `window_seconds`."""

    count: int
    window_seconds: int = 60

    def __post_init__(self) -> None:
        assert 1 <= self.count <= 10**9
        assert 1 <= self.window_seconds <= 86_400

    @property
    def sub_bucket_micros(self) -> int:
        """How finely admissions are told apart; a place is free again later by less than this."""
        return 1 if self.count <= EXACT_MAX else self.window_seconds * 1_000_000 // SUB_BUCKETS

    @property
    def span(self) -> int:
        """Whole sub-buckets in the window."""
        return -(-self.window_seconds * 1_000_000 // self.sub_bucket_micros)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`remaining`: what is left after it. `free_seconds`: when admitted, until more is left again; when refused, until
    the same would be admitted."""

    admitted: bool
    limit: Limit
    remaining: int
    free_seconds: float

    @property
    def retry_after_seconds(self) -> int:
        """In whole seconds, never too early."""
        return max(1, -int(-self.free_seconds // 1))


class LimiterAway(Exception):
    """Redis did not answer in time: nobody knows whether the limit is reached."""


@dataclass(frozen=True, slots=True)
class _Check:
    key: str
    limit: Limit
    cost: int
    verdict: "asyncio.Future[Verdict]"


class RateLimiter:
    """`url` of Redis. Opens its connections when first asked; `close()` ends them."""

    def __init__(self, url: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._answer_seconds = answer_seconds
        # No retries of its own: a step that was lost may have counted, and must not count again.
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=answer_seconds * 4,  # ours comes first, which knows when this process was held up
            socket_connect_timeout=answer_seconds,
            max_connections=IN_FLIGHT_MAX * 2,
            retry=Retry(NoBackoff(), 0),
        )
        self._script = self._redis.register_script(SCRIPT)
        self._waiting: deque[_Check] = deque()
        self._steps: set[asyncio.Task[None]] = set()
        self._is_due = False
        self._ask_from = 0.0

    async def admit(self, key: str, limit: Limit, cost: int = 1) -> Verdict:
        """Counts `cost` against the key, all of it or nothing. `cost` is 1..limit.count: more would never be admitted.

        Raises LimiterAway within `answer_seconds`, and OVERLOADED when too many checks wait.
        """
        assert 1 <= cost <= limit.count
        assert len(key) <= KEY_MAX_CHARACTERS
        if time.monotonic() < self._ask_from:
            raise LimiterAway
        if len(self._waiting) >= WAITING_MAX:
            raise ApiError(ErrorCode.OVERLOADED)
        loop = asyncio.get_running_loop()
        check = _Check(key, limit, cost, loop.create_future())
        self._waiting.append(check)
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._go_on)
        return await check.verdict

    async def close(self) -> None:
        """Waits for the steps under way."""
        await asyncio.gather(*self._steps, return_exceptions=True)
        await self._redis.aclose()

    def _go_on(self) -> None:
        """What waits goes in one step; at the end of a tick, or when a step under way has ended."""
        self._is_due = False
        while self._waiting and len(self._steps) < IN_FLIGHT_MAX:
            together = [self._waiting.popleft() for _ in range(min(TOGETHER_MAX, len(self._waiting)))]
            checks = [check for check in together if not check.verdict.done()]
            if not checks:
                continue
            # In a context of its own: it works for many requests.
            step = asyncio.create_task(self._step(checks), name="rate limits", context=contextvars.Context())
            self._steps.add(step)
            step.add_done_callback(self._ended)

    def _ended(self, step: "asyncio.Task[None]") -> None:
        self._steps.discard(step)
        self._go_on()

    async def _step(self, checks: list[_Check]) -> None:
        try:
            answers = await self._in_time(self._asked(checks))
        except (RedisError, OSError, TimeoutError) as error:
            self._note_away(error, checks)
        else:
            for number, check in enumerate(checks):
                admitted, remaining, free_micros = answers[3 * number : 3 * number + 3]
                if not check.verdict.done():
                    verdict = Verdict(admitted == 1, check.limit, remaining, free_micros / 1_000_000)
                    check.verdict.set_result(verdict)
        finally:
            for check in checks:
                check.verdict.cancel()  # answered ones stay as they are; nobody waits for ever

    async def _in_time(self, asked: Coroutine[Any, Any, list[int]]) -> list[int]:
        """Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        asking = asyncio.create_task(asked, name="rate limits asked")
        try:
            for _ in range(2):
                due_at = loop.time() + self._answer_seconds
                await asyncio.wait({asking}, timeout=self._answer_seconds)
                if asking.done():
                    return asking.result()
                if loop.time() - due_at < HELD_UP_SECONDS:
                    break
            raise TimeoutError
        finally:
            asking.cancel()

    async def _asked(self, checks: list[_Check]) -> list[int]:
        arguments: list[int] = []
        for check in checks:
            limit = check.limit
            arguments += (limit.count, limit.span, limit.sub_bucket_micros, check.cost)
        answer: Any = await self._script(keys=[_key(check) for check in checks], args=arguments)
        return cast(list[int], answer)

    def _note_away(self, error: Exception, checks: list[_Check]) -> None:
        """Whoever waits is told at once."""
        self._ask_from = time.monotonic() + AWAY_SECONDS
        log.warning("Redis is away; limits cannot be checked", error=type(error).__name__)
        for check in (*checks, *self._waiting):
            if not check.verdict.done():
                check.verdict.set_exception(LimiterAway())
        self._waiting.clear()


def _key(check: _Check) -> str:
    """With the limit in it: one that is changed begins anew, instead of misreading the other's counter."""
    return f"rate:{check.limit.count}/{check.limit.window_seconds}:{check.key}"
