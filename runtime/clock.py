"""Time, passed in: services take a `Clock`, tests give one they can move."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)


class Clock(Protocol):
    """Wall time for what is shown, monotonic time for durations."""

    def now_micros(self) -> int:
        """Microseconds since the Unix epoch."""
        ...

    def monotonic_seconds(self) -> float:
        """Only differences mean something."""
        ...


class SystemClock:
    """The machine's own."""

    def now_micros(self) -> int:
        return time.time_ns() // 1_000

    def monotonic_seconds(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told, for tests."""

    def __init__(self, now_micros: int = 1_700_000_000_000_000) -> None:
        self._now_micros = now_micros
        self._monotonic_seconds = 0.0

    def now_micros(self) -> int:
        return self._now_micros

    def monotonic_seconds(self) -> float:
        return self._monotonic_seconds

    def advance(self, seconds: float) -> None:
        self._now_micros += round(seconds * 1_000_000)
        self._monotonic_seconds += seconds


def to_rfc3339(time_micros: int) -> str:
    """`2026-01-02T03:04:05.000006Z`: UTC with microseconds, as REST and WebSocket show times."""
    seconds, micros = divmod(time_micros, 1_000_000)
    return f"{_whole_second(seconds)}.{micros:06d}Z"


@lru_cache(maxsize=4_096)
def _whole_second(seconds: int) -> str:
    """Kept, because the times that are shown lie close together: four times as quick."""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def from_rfc3339(text: str) -> int:
    """Micros of an RFC 3339 time with an offset or Z. Raises ValueError for anything else."""
    if len(text) > 40 or "T" not in text.upper():
        raise ValueError("not an RFC 3339 time")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset or Z")
    return (moment - _EPOCH) // _MICRO


def from_datetime(moment: datetime) -> int:
    """Micros of a timestamptz as asyncpg returns it."""
    return (moment - _EPOCH) // _MICRO


def to_datetime(time_micros: int) -> datetime:
    """A timestamptz parameter for asyncpg."""
    return _EPOCH + timedelta(microseconds=time_micros)
