"""Who watches which market, and is woken when something of it was committed. Nothing queues: a waker is set or not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from engine.events import Event
from runtime.errors import ApiError, ErrorCode

WATCHERS_MAX: Final = 200
"""Of this process. Each costs a read of the live market per change; many readers belong to ws_service."""


class Watchers:
    """Those who watch, by market."""

    def __init__(self) -> None:
        self._wakers: dict[str, set[asyncio.Event]] = {}
        self._count = 0

    @contextmanager
    def watching(self, market_id: str) -> Iterator[asyncio.Event]:
        """Set whenever the market may have changed; the watcher clears it. Raises OVERLOADED when there are many."""
        if self._count >= WATCHERS_MAX:
            raise ApiError(ErrorCode.OVERLOADED)
        waker = asyncio.Event()
        self._count += 1
        self._wakers.setdefault(market_id, set()).add(waker)
        try:
            yield waker
        finally:
            self._count -= 1
            self._wakers[market_id].discard(waker)
            if not self._wakers[market_id]:
                del self._wakers[market_id]

    def committed(self, events: Sequence[Event]) -> None:
        """These are durable; none at all: anything may have changed."""
        market_ids = {event.market_id for event in events} if events else set(self._wakers)
        for market_id in market_ids & self._wakers.keys():
            for waker in self._wakers[market_id]:
                waker.set()
