"""A shard's committed events, in order, from the cursor of one bus on. PostgreSQL is the queue, memory a short cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from engine.events import Event, decode
from order_service.fresh_events import FreshEvents
from runtime.logs import get_logger
from runtime.postgres import Pool

log = get_logger(__name__)

IDLE_SECONDS = 1.0
SAVE_SECONDS = 0.2
"""How often the cursor is saved; what a crash repeats is what was published since."""
HELD_SECONDS = 0.3


class CursorMoved(Exception):
    """Somebody else moved or holds the cursor: a rebuild of the bus, or the shard's next owner. Begin again from it."""


class EventQueue:
    """For one relay. What it remembers can be lost at any moment: it is read again."""

    def __init__(self, pool: Pool, shard_id: int, target: str) -> None:
        self._pool = pool
        self._shard_id = shard_id
        self._target = target
        self._fresh = FreshEvents()
        self._must_read = True
        """Something may be in PostgreSQL that was not handed in."""
        self._woken = asyncio.Event()
        self._cursor = self._saved = 0
        self._saved_at = 0.0

    def committed(self, first_commit_seq: int, events: Sequence[Event]) -> None:
        """There is more: these events, or (none given) something to be read."""
        if not events or not self._fresh.add(first_commit_seq, events):
            self._must_read = True
        self._woken.set()

    async def begin(self) -> None:
        """Start at the stored cursor; waits while it is held."""
        while (cursor := await self._read_cursor()) is None:
            log.info("a relay waits: its bus is being rebuilt", shard=self._shard_id, target=self._target)
            await asyncio.sleep(HELD_SECONDS)
        self._cursor = self._saved = cursor
        self._saved_at, self._must_read = time.monotonic(), True

    async def next(self, most: int) -> list[Event]:
        """Up to so many events after those that are done; none when there are none yet: then `rest`."""
        self._woken.clear()
        fresh = self._fresh.after(self._cursor, most)
        if not fresh and (self._must_read or self._fresh.is_ahead()):
            self._must_read = False
            fresh = await self._read(most)
            self._must_read = self._must_read or bool(fresh)
        return [event for _, event in fresh]

    async def done(self, events: Sequence[Event]) -> None:
        """These, the last that `next` gave, are on the bus. Raises CursorMoved."""
        self._cursor += len(events)
        await self._save_when_due()

    async def rest(self) -> None:
        """Until there may be more. When nobody woke us for so long, PostgreSQL is asked: others may have written."""
        await self._save_when_due()
        try:
            async with asyncio.timeout(IDLE_SECONDS if self._cursor == self._saved else SAVE_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            self._must_read = True
            if self._cursor == self._saved and await self._read_cursor() != self._saved:
                raise CursorMoved from None

    async def _save_when_due(self) -> None:
        if self._cursor == self._saved or time.monotonic() - self._saved_at < SAVE_SECONDS:
            return
        moved = await self._pool.execute(
            """
            UPDATE relay_cursors SET commit_seq = $4
            WHERE shard_id = $1 AND target = $2 AND commit_seq = $3 AND NOT held
            """,
            self._shard_id,
            self._target,
            self._saved,
            self._cursor,
        )
        if moved != "UPDATE 1":
            raise CursorMoved
        self._saved, self._saved_at = self._cursor, time.monotonic()

    async def _read_cursor(self) -> int | None:
        """None: it is held. A bus without a cursor gets one, at the beginning."""
        row = await self._pool.fetchrow(
            """
            WITH made AS (
                INSERT INTO relay_cursors (shard_id, target) VALUES ($1, $2) ON CONFLICT DO NOTHING
            )
            SELECT commit_seq, held FROM relay_cursors WHERE shard_id = $1 AND target = $2
            """,
            self._shard_id,
            self._target,
        )
        if row is None:  # just made
            return 0
        return None if row["held"] else int(row["commit_seq"])

    async def _read(self, most: int) -> list[tuple[int, Event]]:
        rows = await self._pool.fetch(
            """
            SELECT commit_seq, payload FROM events
            WHERE shard_id = $1 AND commit_seq > $2 ORDER BY commit_seq LIMIT $3
            """,
            self._shard_id,
            self._cursor,
            most,
        )
        return [(row["commit_seq"], decode(row["payload"])) for row in rows]
