"""Who may ask now: some queries run, some wait for their turn, some answers are on their way, the rest are sent away;
and nobody takes it all.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from analytics.analysts.refusals import QUOTA_EXCEEDED, TOO_MANY_QUERIES, Refused
from runtime.clock import Clock

HOUR_SECONDS: Final = 3_600
USERS_MAX: Final = 10_000
"""Users counted in an hour. There are never so many analysts; beyond it nobody new is let in."""


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Of all analysts together, and of each."""

    running_max: int = 2
    waiting_max: int = 8
    """More than run, until their answers have been sent: an answer stays in memory while it is read slowly."""
    wait_seconds: float = 10.0
    per_user_max: int = 4
    """Queries of one user that wait, run, or whose answer is being sent."""
    user_seconds_per_hour: float = 900.0
    """Time that one user's queries may run in an hour."""


class Turns:
    """A bounded queue in front of a few places, and each user's quota of time."""

    def __init__(self, limits: TurnLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._places = asyncio.Semaphore(limits.running_max)
        self._present: Counter[str] = Counter()
        self._hour = 0
        self._used_seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def present(self, user_id: str) -> Iterator[None]:
        """One of those who ask, from the question until the answer has been sent. Raises Refused: too many."""
        limits = self._limits
        if self._present.total() >= limits.running_max + limits.waiting_max:
            raise _too_many("Too many simultaneous queries.")
        if self._present[user_id] >= limits.per_user_max:
            raise _too_many(f"Too many simultaneous queries of one user: {limits.per_user_max} at most.")
        self._present[user_id] += 1
        try:
            yield
        finally:
            self._present[user_id] -= 1
            self._present += Counter()  # forgets zeros

    async def turn(self, user_id: str) -> Callable[[], None]:
        """A place to run; what it returns is to be called once, to give the place back. Raises Refused: waited too
        long, or no time left."""
        self._check_quota(user_id)
        await self._place()
        began = self._clock.now_micros()

        def end() -> None:
            self._places.release()
            self._used_seconds[user_id] += max(0, self._clock.now_micros() - began) / 1_000_000

        return end

    async def _place(self) -> None:
        try:
            await asyncio.wait_for(self._places.acquire(), self._limits.wait_seconds)
        except TimeoutError:
            raise _too_many("No place became free in time.") from None

    def _check_quota(self, user_id: str) -> None:
        now_seconds = self._clock.now_micros() // 1_000_000
        if now_seconds // HOUR_SECONDS != self._hour:
            self._hour = now_seconds // HOUR_SECONDS
            self._used_seconds.clear()
        is_full = user_id not in self._used_seconds and len(self._used_seconds) >= USERS_MAX
        if is_full or self._used_seconds[user_id] >= self._limits.user_seconds_per_hour:
            left = HOUR_SECONDS - now_seconds % HOUR_SECONDS
            raise Refused(
                QUOTA_EXCEEDED,
                f"Quota exceeded: {self._limits.user_seconds_per_hour:.0f} seconds of queries an hour.",
                retry_seconds=math.ceil(left),
            )


def _too_many(text: str) -> Refused:
    return Refused(TOO_MANY_QUERIES, text, retry_seconds=2)
