"""Writes events' rows: each event once, in order per market, whatever comes twice, is missing or is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

from analytics.clickhouse import ClickHouse
from analytics.ingest.positions import Positions
from analytics.ingest.rows import Message, Row, rows_of
from analytics.ingest.tables import BY_TOPIC, Table
from analytics.metrics import FETCHED, REPEATS, ROWS
from runtime.topics import Topic

Fetch = Callable[[str, Collection[Topic], int, int], AsyncIterator[Sequence[tuple[Topic, Message]]]]
"""What these topics say of a market's events after one up to another, from the database, some events at a time."""

Progress = Callable[[int], None]
"""Told how many events more are read."""

ROWS_MAX: Final = 20_000
"""Rows of a table in one insert at most, give or take an event: some seconds of work, so that catching up gets ahead
even when it is often cut off; and fewer than ClickHouse makes one block of."""

MONTH_CHARACTERS: Final = 7


class Block:
    """Rows of events that are written together: all of one month, so that each table's are one part or nothing."""

    def __init__(self, topic: Topic, month: str) -> None:
        self.topic = topic
        self.month = month
        self.rows: dict[Table, list[Row]] = {}
        self.last: dict[str, int] = {}

    def add(self, market_id: str, seq: int, rows: dict[Table, list[Row]]) -> None:
        for table, its_rows in rows.items():
            self.rows.setdefault(table, []).extend(its_rows)
        self.last[market_id] = seq

    @property
    def is_full(self) -> bool:
        return any(len(rows) >= ROWS_MAX for rows in self.rows.values())


class Writer:
    """The one of its process. Topics are written independently; a topic's events one after another."""

    def __init__(self, clickhouse: ClickHouse, positions: Positions, fetch: Fetch) -> None:
        self._clickhouse = clickhouse
        self._positions = positions
        self._fetch = fetch
        self._turn = asyncio.Lock()
        self._is_sure = False

    @property
    def is_clickhouse_there(self) -> bool:
        """Whether the last write succeeded."""
        return self._is_sure

    async def load(self) -> None:
        """What is there already. Raises ClickHouseAway."""
        async with self._turn:
            await self._load()

    async def take(self, topic: Topic, messages: Sequence[Message]) -> int:
        """Writes what is new of these messages, those of each market being in order; how many rows that were.

        Raises ClickHouseAway, or what `fetch` raises: some of it may be written then, and giving it again is right.
        """
        async with self._turn:
            if not self._is_sure:
                await self._load()
            try:
                return await self._take(topic, messages)
            except BaseException:
                self._is_sure = False
                raise

    async def catch_up(
        self,
        topics: Collection[Topic],
        wanted: Mapping[str, tuple[int, int]],
        done: Progress = lambda _: None,
    ) -> int:
        """Writes from the database what is missing of these markets, each after one event up to another."""
        async with self._turn:
            if not self._is_sure:
                await self._load()
            blocks = Blocks(self)
            try:
                for market_id, (after_seq, to_seq) in wanted.items():
                    await self._fill(blocks, topics, market_id, after_seq, to_seq, done)
                await blocks.flush()
            except BaseException:
                self._is_sure = False
                raise
            return blocks.written

    async def _load(self) -> None:
        await self._positions.load()
        self._is_sure = True

    async def _take(self, topic: Topic, messages: Sequence[Message]) -> int:
        blocks = Blocks(self)
        arriving: dict[str, list[Message]] = {}
        for message in messages:
            market_id = message.market_id
            last = blocks.last(topic, market_id)
            if message.seq <= last:
                REPEATS.labels(topic).inc()
                continue
            parts = arriving.setdefault(market_id, [])
            if parts and parts[0].seq != message.seq:
                parts.clear()
            parts.append(message)
            if len(parts) < message.parts:
                continue
            del arriving[market_id]
            if message.prev_seq != last or [part.part for part in parts] != list(range(1, message.parts + 1)):
                await self._fill(blocks, [topic], market_id, last, message.seq)
            else:
                await blocks.add(topic, parts)
        for market_id, parts in arriving.items():
            # The other parts are in a batch to come, or lost with the process that had them.
            await self._fill(blocks, [topic], market_id, blocks.last(topic, market_id), parts[0].seq)
        await blocks.flush()
        return blocks.written

    async def _fill(
        self,
        blocks: Blocks,
        topics: Collection[Topic],
        market_id: str,
        after_seq: int,
        to_seq: int,
        done: Progress = lambda _: None,
    ) -> None:
        async for some in self._fetch(market_id, topics, after_seq, to_seq):
            parts: list[Message] = []
            for topic, message in some:
                FETCHED.labels(topic).inc()
                parts.append(message)
                if message.part == message.parts:
                    last = blocks.last(topic, market_id)
                    if parts[0].prev_seq > last:  # this topic is further behind than where we began
                        await self._fill(blocks, [topic], market_id, last, parts[0].prev_seq)
                    if message.seq > last:
                        await blocks.add(topic, parts)
                    parts = []
            done(some[-1][1].seq - after_seq if some else 0)
            after_seq = some[-1][1].seq if some else after_seq

    async def write(self, block: Block) -> int:
        """Tables in order, the main one last. A table that is ahead after a cut-off write gets only what it lacks."""
        count = 0
        for table in BY_TOPIC[block.topic]:
            rows = self._lacking(table, block.rows.get(table, []))
            if rows:
                await self._clickhouse.insert(table.name, table.names, list(zip(*rows, strict=True)))
                ROWS.labels(table.name).inc(len(rows))
                count += len(rows)
        for market_id, seq in block.last.items():
            self._positions.written(block.topic, market_id, seq)
        return count

    def promise(self, message: Message) -> None:
        self._positions.promise(message.content["topics"], message.market_id, message.seq)

    def last(self, topic: Topic, market_id: str) -> int:
        return self._positions.last(topic, market_id)

    def _lacking(self, table: Table, rows: list[Row]) -> list[Row]:
        if not self._positions.has_cut_off(table):
            return rows
        return [row for row in rows if row[1] > self._positions.had(table, str(UUID(int=row[0])))]


class Blocks:
    """Gathers events, of each topic until its block is full or another month begins."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._open: dict[Topic, Block] = {}
        self.written = 0

    def last(self, topic: Topic, market_id: str) -> int:
        """Of what is written or gathered."""
        block = self._open.get(topic)
        if block is not None and market_id in block.last:
            return block.last[market_id]
        return self._writer.last(topic, market_id)

    async def add(self, topic: Topic, parts: Sequence[Message]) -> None:
        """One event, which follows the market's last of the topic."""
        first = parts[0]
        assert first.prev_seq <= self.last(topic, first.market_id) < first.seq, (
            "none is left out, none comes twice"
        )
        month = first.content["time"][:MONTH_CHARACTERS]
        block = self._open.get(topic)
        if block is not None and (block.month != month or block.is_full):
            await self._write(topic)
            block = None
        if block is None:
            block = self._open[topic] = Block(topic, month)
        block.add(first.market_id, first.seq, rows_of(topic, parts))
        if topic is Topic.MARKET_EVENTS:
            self._writer.promise(first)

    async def flush(self) -> None:
        """Everything gathered so far."""
        for topic in tuple(self._open):
            await self._write(topic)

    async def _write(self, topic: Topic) -> None:
        self.written += await self._writer.write(self._open.pop(topic))
