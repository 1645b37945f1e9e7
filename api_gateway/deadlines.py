"""Time limits of requests, looked after together: a timer for each costs more than all the rest of its bookkeeping.

    with deadlines.within(10):
        ...  # TimeoutError once 10 s are over, at most TICK_SECONDS late

As `asyncio.timeout` does, it cancels the task, and turns that cancellation, and no other, into TimeoutError.
"""

import asyncio
import time
from types import TracebackType
from typing import Final

TICK_SECONDS: Final = 0.1


class Deadlines:
    """`watch()` runs for as long as the process; without it no time is ever over."""

    def __init__(self) -> None:
        self._running: set[Within] = set()

    def within(self, seconds: float) -> "Within":
        """For the task that enters it."""
        return Within(self._running, seconds)

    async def watch(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            for each in [each for each in self._running if each.ends_at <= now]:
                each.expire()


class Within:
    """One limit. Used once."""

    __slots__ = ("_is_over", "_running", "_task", "_was_cancelling", "ends_at")

    def __init__(self, running: "set[Within]", seconds: float) -> None:
        self._running = running
        self._is_over = False
        self._was_cancelling = 0
        self._task: asyncio.Task[object] | None = None
        self.ends_at = time.monotonic() + seconds

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._was_cancelling = self._task.cancelling()
        self._running.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._running.discard(self)
        if not self._is_over:
            return
        assert self._task is not None
        if self._task.uncancel() <= self._was_cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """The time is over."""
        self._running.discard(self)
        self._is_over = True
        assert self._task is not None
        self._task.cancel()
