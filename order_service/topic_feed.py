"""The topics, fed from a shard's committed events by a task of its own: trading and the other bus never wait for it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from db_service.store import loading
from db_service.topics import reading
from db_service.topics.build import messages_of
from db_service.topics.head import CHECKPOINT_EVENTS, Checkpoint, MarketHead, checkpoint_of
from db_service.topics.messages import TopicMessage
from engine.events import Event, encode, hash_of
from order_service.event_queue import CursorMoved, EventQueue
from order_service.metrics import TOPICS_BEHIND
from order_service.topic_sinks import TopicSink
from runtime.logs import get_logger
from runtime.postgres import Pool
from runtime.surprises import AWAY
from runtime.topics import TopicsAway

log = get_logger(__name__)

EVENTS_PER_PASS: Final = 50
"""Read, and decoded when they come from PostgreSQL, without leaving a turn: a few milliseconds."""

EVENTS_PER_TURN: Final = 10
"""So many are built at once (a millisecond); then everything else in the process gets a turn."""

GATHER_SECONDS: Final = 0.1
"""After a pass that was not full, more is waited for so long: whoever reads the topics bears that delay, and what a
pass costs trading (a query, a wait for acks) is shared by more messages."""

SHARE: Final = 0.3
"""Of a busy process' time that building may take: a feed may fall behind, trading may not."""

BUSY: Final = 0.25
"""The process is busy when others take at least this part of our turn's time before it is our turn again."""

RETRY_SECONDS: Final = 1.0
RETRIED: Final[tuple[type[BaseException], ...]] = (*AWAY, TopicsAway)
HEADS_MAX: Final = 10_000
"""Markets whose head is remembered (some KB each); of others it is read again."""


class TopicFeed:
    """One shard's, to one bus, with its own cursor."""

    def __init__(self, *, pool: Pool, shard_id: int, sink: TopicSink) -> None:
        self._pool = pool
        self._shard_id = shard_id
        self._sink = sink
        self._queue = EventQueue(pool, shard_id, sink.target)
        self._heads: OrderedDict[str, MarketHead] = OrderedDict()

    def committed(self, first_commit_seq: int, events: Sequence[Event]) -> None:
        """There is more: these events, or (none given) something to be read."""
        self._queue.committed(first_commit_seq, events)

    async def run(self) -> None:
        """For ever; whatever is away is waited for."""
        try:
            while True:
                try:
                    await self._until_away()
                except CursorMoved:
                    log.info("the feed begins again from its cursor", shard=self._shard_id)
                except RETRIED as error:
                    log.warning("the feed of the topics waits", shard=self._shard_id, error=str(error))
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            await self._sink.close()

    async def _until_away(self) -> None:
        await self._sink.open()
        await self._queue.begin()
        self._heads.clear()  # they may be ahead of the cursor
        while True:
            events = await self._queue.next(EVENTS_PER_PASS)
            TOPICS_BEHIND.labels(str(self._shard_id)).set(len(events))
            if not events:
                await self._queue.rest()
                continue
            messages, checkpoints = await self._build(events)
            await self._sink.send(messages)
            if checkpoints:
                await reading.save_checkpoints(self._pool, checkpoints)
            await self._queue.done(events)
            if len(events) < EVENTS_PER_PASS:
                await asyncio.sleep(GATHER_SECONDS)

    async def _build(self, events: Sequence[Event]) -> tuple[list[TopicMessage], list[Checkpoint]]:
        """In turns with whatever else the process does."""
        await self._prepare(events)
        orders = await loading.orders_of(self._pool, events)
        messages: list[TopicMessage] = []
        checkpoints: list[Checkpoint] = []
        for start in range(0, len(events), EVENTS_PER_TURN):
            began = time.perf_counter()
            for event in events[start : start + EVENTS_PER_TURN]:
                head = self._heads[event.market_id]
                messages.extend(messages_of(event, hash_of(encode(event)), head, orders))
                if event.seq % CHECKPOINT_EVENTS == 0:
                    checkpoints.append(checkpoint_of(head))
            await _leave_turn(time.perf_counter() - began)
        return messages, checkpoints

    async def _prepare(self, events: Sequence[Event]) -> None:
        """The heads that these events begin from; all of them before the first is moved on."""
        while len(self._heads) > HEADS_MAX:
            self._heads.popitem(last=False)
        for event in events:
            if event.market_id in self._heads:
                self._heads.move_to_end(event.market_id)
            else:
                before = event.seq - 1
                self._heads[event.market_id] = await reading.head_at(self._pool, event.market_id, before)


async def _leave_turn(used_seconds: float) -> None:
    """Everything else that waits is run; when there is much of it, we stay away as long as our share asks."""
    began = time.perf_counter()
    await asyncio.sleep(0)
    others_seconds = time.perf_counter() - began
    if others_seconds > used_seconds * BUSY:
        await asyncio.sleep(max(0.0, used_seconds * (1 / SHARE - 1) - others_seconds))
