"""Events this process just committed, kept for its relay, which need not read and decode them again."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from engine.events import Event

KEPT_MAX: Final = 4_000
"""About what a second of full load commits; a relay that is further behind reads PostgreSQL."""


class FreshEvents:
    """Consecutive events of one shard, by commit_seq. Bounded: when full, the newest are left to the database."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._events: deque[tuple[int, Event]] = deque()

    def add(self, first_commit_seq: int, events: Sequence[Event]) -> bool:
        """Committed, with consecutive numbers; False when there is no room for them.

        A gap to what is kept (events nobody handed in) begins anew.
        """
        if self._events and self._events[-1][0] != first_commit_seq - 1:
            self._events.clear()
        if len(self._events) + len(events) > self._kept_max:
            return False
        self._events.extend(enumerate(events, first_commit_seq))
        return True

    def is_ahead(self) -> bool:
        """Whether something is kept that `after` did not give, because what comes before it is not here."""
        return bool(self._events)

    def after(self, commit_seq: int, most: int) -> list[tuple[int, Event]]:
        """Up to `most` events from commit_seq + 1 on; empty when the next one is not here."""
        while self._events and self._events[0][0] <= commit_seq:
            self._events.popleft()
        if not self._events or self._events[0][0] != commit_seq + 1:
            return []
        return [self._events.popleft() for _ in range(min(most, len(self._events)))]
