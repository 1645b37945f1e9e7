"""A log of many trades copied to ClickHouse by a process that is killed again and again, over a bus that restarts.

The trades go through order_service's batch path and its feed of the topics; analytics is the real process. After some
kills its groups are moved back, so that batches come again; at the end they go back to the start. Then every count,
volume and fee, every candle, and books at past moments must be PostgreSQL's.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from analytics.clickhouse import Place
from launcher.embedded import NatsServer
from predmarket.analytics.v1.analytics_pb2_grpc import AnalyticsServiceStub
from runtime.bus import open_bus
from runtime.grpc_client import open_channel
from runtime.jetstream_topics import STREAM, move_consumer, seek_group
from runtime.postgres import Pool, open_pool
from runtime.topics import Topic
from tests.analytics.processes import Analytics, ended, settings_of
from tests.analytics_soak.crowd import MARKETS_PER_SHARD, Crowd
from tests.analytics_soak.expected import Expected
from tests.analytics_soak.writing import writing
from tests.servers import Database

KILLED_IN_START: Final = 0.2
"""So often while it starts; else while it works."""
WORKING_SECONDS: Final = 8.0
MOVED_BACK: Final = 0.2
MOVED_BACK_MAX: Final = 50_000
"""Messages of the stream."""
BUS_AWAY_SECONDS: Final = 2.0
SAME_DIFFERENCE_MAX: Final = 3
"""So often in a row the same differences, with nothing left to read, are not on their way to be mended."""
BEHIND_SQL: Final = """
SELECT (SELECT sum(commit_seq) FROM shards) - (SELECT coalesce(sum(commit_seq), 0) FROM relay_cursors)
"""
"""Events that are not on the bus; there is one feed of each shard."""
STANDSTILL_SECONDS: Final = 900.0
"""Long, because what a start catches up with from PostgreSQL moves no group."""


@dataclass(slots=True)
class Seen:
    """What a campaign saw."""

    trades: int = 0
    events: int = 0
    refused: int = 0
    kills: int = 0
    moved_back: int = 0
    bus_restarts: int = 0
    candles: int = 0
    figures: int = 0
    written_seconds: float = 0.0
    equal_seconds: float = 0.0
    again_seconds: float = 0.0
    """Everything delivered again from the start."""
    different: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Watch:
    """Told how far it is."""

    trades: Callable[[int], None] = lambda _: None
    kills: Callable[[int], None] = lambda _: None
    behind: Callable[[int], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None


class Campaign:
    """One log, one ClickHouse folder."""

    def __init__(self, database: Database, nats: NatsServer, folder: Path, seed: str, watch: Watch) -> None:
        self._database = database
        self._nats = nats
        self._source = random.Random(seed)
        self._watch = watch
        settings = settings_of(database, nats.url, Place(folder=folder), LOG_LEVEL="ERROR", NICENESS="0")
        self._process = Analytics(settings)
        self._nats_thread = ThreadPoolExecutor(1)
        """NATS ends with the thread that starts it."""
        self.seen = Seen()

    async def run(
        self,
        trades: int,
        kills: int,
        *,
        working_seconds: float = WORKING_SECONDS,
        markets_per_shard: int = MARKETS_PER_SHARD,
    ) -> Seen:
        """`working_seconds`: how long it may work before it is killed, at most."""
        async with (
            open_pool(self._database.superuser_url, name="campaign") as pool,
            writing(self._database, self._nats.url) as made,
            ended(self._process),
        ):
            crowd = Crowd(made, random.Random(self._source.random()))
            await crowd.gather(markets_per_shard)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._trade(crowd, trades))
                tasks.create_task(self._kill(kills, working_seconds))
            await self._check(pool)
        return self.seen

    async def _trade(self, crowd: Crowd, trades: int) -> None:
        began = time.monotonic()
        await crowd.trade_until(trades, lambda: self._watch.trades(crowd.trades))
        self.seen.trades, self.seen.events, self.seen.refused = crowd.trades, crowd.events, crowd.refused
        self.seen.written_seconds = time.monotonic() - began
        self._watch.say(f"{crowd.trades:,} trades in {crowd.events:,} events are in PostgreSQL")

    async def _kill(self, kills: int, working_seconds: float) -> None:
        for number in range(1, kills + 1):
            await self._process.start(ready=False)
            if self._source.random() < KILLED_IN_START:
                await asyncio.sleep(self._source.uniform(0, 2))
            else:
                await self._process.until_ready()
                await asyncio.sleep(self._source.uniform(0, working_seconds))
            if number == kills // 2:
                await self._restart_bus()
            await self._process.kill()
            if self._source.random() < MOVED_BACK or number == kills:
                await self._move_back()
            self.seen.kills = number
            self._watch.kills(number)

    async def _restart_bus(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._nats_thread, self._nats.stop)
        await asyncio.sleep(BUS_AWAY_SECONDS)
        await loop.run_in_executor(self._nats_thread, self._nats.start)
        self.seen.bus_restarts += 1
        self._watch.say("the bus was restarted")

    async def _move_back(self) -> None:
        """Each group, to before what it has committed."""
        async with self._stream() as stream:
            for topic in Topic:
                try:
                    at = await stream.consumer_info(STREAM, topic.group)
                except NotFoundError:
                    continue  # it was killed before it began: it will begin at the start
                committed = at.ack_floor.stream_seq if at.ack_floor else 0
                after = max(0, committed - self._source.randrange(MOVED_BACK_MAX))
                await move_consumer(stream, topic, topic.group, after)
        self.seen.moved_back += 1

    async def _check(self, pool: Pool) -> None:
        began = time.monotonic()
        await self._until_published(pool)
        await self._process.start()
        await self._until_equal()
        self.seen.equal_seconds = time.monotonic() - began
        if self.seen.different:
            return
        self._watch.say("everything is in ClickHouse; the groups go back to the start")
        await self._process.kill(signal.SIGTERM)
        began = time.monotonic()
        async with self._stream() as stream:
            for topic in Topic:
                await seek_group(stream, topic, topic.group, to_start=True)
        await self._process.start()
        await self._until_equal()
        self.seen.again_seconds = time.monotonic() - began
        await self._compare_answers(pool)
        code = await self._process.kill(signal.SIGTERM)
        if code:
            self.seen.different.append(f"it ended with {code}")

    async def _compare_answers(self, pool: Pool) -> None:
        self._watch.say("candles and past books are compared")
        rows = await pool.fetch("SELECT market_id::text AS market_id FROM markets ORDER BY 1")
        markets = [row["market_id"] for row in rows]
        async with open_channel(f"127.0.0.1:{self._process.grpc_port}") as channel:
            expected = Expected(pool, AnalyticsServiceStub(channel))
            for market_id in markets:
                self.seen.different += await expected.different_candles(market_id)
            self.seen.different += await expected.different_books(markets, self._source)
            self.seen.candles = expected.candles

    async def _until_published(self, pool: Pool) -> None:
        """The feed is a follower of the shards, so these must live on."""
        async with asyncio.timeout(None) as limit:
            behind = -1
            while behind:
                now = await pool.fetchval(BEHIND_SQL)
                if now != behind:
                    limit.reschedule(asyncio.get_running_loop().time() + STANDSTILL_SECONDS)
                behind = now
                self._watch.behind(behind)
                await asyncio.sleep(0.2)

    async def _until_equal(self) -> None:
        """Or until it is clear that it will not be."""
        before: list[str] = []
        same = 0
        async with asyncio.timeout(None) as limit:
            last = -1
            while same < SAME_DIFFERENCE_MAX:
                pending = await self._pending()
                self._watch.behind(pending)
                if pending != last:
                    limit.reschedule(asyncio.get_running_loop().time() + STANDSTILL_SECONDS)
                last = pending
                if pending:
                    await asyncio.sleep(0.5)
                    continue
                lines = await self._process.reconciled()
                self.seen.figures = len(lines)
                now = [
                    f"{line.what}: {line.postgres:,} in PostgreSQL, {line.clickhouse:,} in ClickHouse"
                    for line in lines
                    if not line.is_equal
                ]
                if not now:
                    return
                same = same + 1 if now == before else 0
                before = now
        self.seen.different += before

    async def _pending(self) -> int:
        """Messages that the groups have not committed."""
        count = 0
        async with self._stream() as stream:
            for topic in Topic:
                try:
                    at = await stream.consumer_info(STREAM, topic.group)
                except NotFoundError:
                    return (await stream.stream_info(STREAM)).state.messages
                count += (at.num_pending or 0) + (at.num_ack_pending or 0)
        return count

    @asynccontextmanager
    async def _stream(self) -> AsyncIterator[JetStreamContext]:
        async with open_bus(self._nats.url, name="campaign") as bus:
            yield bus.jetstream()
