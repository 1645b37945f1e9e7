"""Follows the four topics, in the one process that may write: batch, insert, commit; again and again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from analytics.ingest.catch_up import CatchUp
from analytics.ingest.rows import Message, read
from analytics.ingest.writer import Writer
from analytics.metrics import BEHIND, IS_WRITER, LAG_SECONDS
from runtime.clock import Clock, from_rfc3339
from runtime.logs import get_logger
from runtime.postgres import connect
from runtime.surprises import AWAY
from runtime.topics import Batch, PartitionsLost, Topic, TopicReader, TopicsAway

log = get_logger(__name__)

OpenReader = Callable[[Topic], AbstractAsyncContextManager[TopicReader]]

BATCH_MAX: Final = 5_000
CATCHING_UP: Final = 1_000
"""With so many more waiting, the next batch is as large as it should be without a pause."""

WAIT_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 0.5
ATTEMPTS_PER_WARNING: Final = 60
WRITER_LOCK: Final = 7305202
"""Advisory lock in PostgreSQL of the one process that writes."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How this process stands."""

    is_writer: bool
    is_clickhouse_there: bool
    """Whether the last attempt to write succeeded."""
    has_caught_up: bool
    """Whether, since it became the writer, everything that PostgreSQL had was written."""


class Follower:
    """Runs for as long as the process; whatever is away is waited for."""

    def __init__(
        self,
        *,
        writer: Writer,
        catch_up: CatchUp,
        open_reader: OpenReader,
        database_url: str,
        instance: str,
        clock: Clock,
        interval_seconds: float,
        compare_seconds: float,
    ) -> None:
        self._writer = writer
        self._catch_up = catch_up
        self._open_reader = open_reader
        self._database_url = database_url
        self._instance = instance
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._compare_seconds = compare_seconds
        self._is_writer = False
        self._has_caught_up = False

    def standing(self) -> Standing:
        return Standing(self._is_writer, self._writer.is_clickhouse_there, self._has_caught_up)

    async def run(self) -> None:
        """For ever; ClickHouse away is one of the things that are AWAY."""
        while True:
            try:
                await self._as_writer()
            except* AWAY as group:
                error = group.exceptions[0]
                log.warning("ingest begins anew", error=f"{type(error).__name__}: {error}"[:300])
            finally:
                self._is_writer = self._has_caught_up = False
                IS_WRITER.set(0)
            await asyncio.sleep(RETRY_SECONDS)

    async def _as_writer(self) -> None:
        """Of several processes one writes; the others wait here for their turn."""
        connection = await connect(self._database_url, name=f"{self._instance}-writer")
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", WRITER_LOCK):
                await asyncio.sleep(WAIT_SECONDS)
            self._is_writer = True
            IS_WRITER.set(1)
            async with asyncio.TaskGroup() as tasks:
                for topic in Topic:
                    tasks.create_task(self._follow(topic), name=f"ingest {topic}")
                tasks.create_task(self._compare(), name="compare")
                while True:
                    await connection.fetchval("SELECT 1")  # raises when the lock is gone
                    await asyncio.sleep(WAIT_SECONDS)
        finally:
            connection.terminate()

    async def _follow(self, topic: Topic) -> None:
        while True:
            try:
                async with self._open_reader(topic) as reader:
                    await self._read(topic, reader)
            except TopicsAway as error:
                log.warning("topic away", topic=topic, error=str(error)[:300])
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, topic: Topic, reader: TopicReader) -> None:
        while True:
            batch = await reader.next_batch(most=BATCH_MAX, wait_seconds=WAIT_SECONDS)
            if batch.messages:
                await self._write(topic, reader, batch)
                behind = await reader.behind()
                BEHIND.labels(topic).set(behind)
                if behind < CATCHING_UP:
                    await asyncio.sleep(self._interval_seconds)

    async def _write(self, topic: Topic, reader: TopicReader, batch: Batch) -> None:
        """Until it is written, however long that takes: the batch is kept, and nothing more is read meanwhile."""
        messages = _read(topic, batch)
        await _until_done(lambda: self._writer.take(topic, messages), f"write {topic}")
        if messages:
            newest = from_rfc3339(messages[-1].content["time"])
            LAG_SECONDS.labels(topic).observe(max(0, self._clock.now_micros() - newest) / 1_000_000)
        try:
            await reader.commit(batch)
        except (PartitionsLost, TopicsAway) as error:
            # The messages come again, to whoever has the partitions then, and are skipped.
            log.warning("not committed", topic=topic, error=type(error).__name__)

    async def _compare(self) -> None:
        await _until_done(self._catch_up.all, "compare")
        self._has_caught_up = True
        while True:
            await asyncio.sleep(self._compare_seconds)
            if fetched := await _until_done(self._catch_up.stuck, "compare"):
                log.warning("the bus had lost events", rows=fetched)


async def _until_done(work: Callable[[], Awaitable[int]], what: str) -> int:
    """Again and again while ClickHouse or PostgreSQL is away; an outage is told now and then, not each time."""
    for attempt in itertools.count():
        try:
            return await work()
        except AWAY as error:
            if attempt % ATTEMPTS_PER_WARNING == 0:
                log.warning("not done yet", work=what, error=f"{type(error).__name__}: {error}"[:300])
            await asyncio.sleep(RETRY_SECONDS)
    raise AssertionError("it tries for ever")


def _read(topic: Topic, batch: Batch) -> Sequence[Message]:
    """What is no message is told and left out: the comparison finds what it should have been."""
    messages = []
    for received in batch.messages:
        try:
            messages.append(read(received.body))
        except (ValueError, KeyError, TypeError) as error:
            log.error("not a message", topic=topic, position=received.position, error=type(error).__name__)
    return messages
