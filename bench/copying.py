"""From the commit to the row in ClickHouse: how long it takes, and how many events a second get through.

Every order here is a trade, so that each of its events has rows of all four topics. An event is there when a read sees
its last row. The process itself is asked, some fifty times a second, which adds up to 20 ms to what is shown.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import quantiles

import asyncpg
import uvloop

from bench import exchange, hot_market, open_loop, servers
from bench.analytics_server import Analytics, newest_seq
from bench.exchange import DATABASE, Exchange
from bench.optimistic import Tally
from bench.report import Arm, BenchError, Section, together
from predmarket.analytics.v1.analytics_pb2_grpc import AnalyticsServiceStub
from predmarket.order.v1 import order_pb2_grpc
from runtime.grpc_client import open_channel

RATE_PER_SECOND = 1_000
RATE_BEFORE, SECONDS_BEFORE = 100, 1.0
LOOK_SECONDS = 0.02
THERE_SECONDS_MAX = 300.0

Load = Callable[[order_pb2_grpc.OrderServiceStub], Awaitable[None]]


def section(quick: bool) -> Section:
    return Section(
        title="From commit to ClickHouse",
        note=(
            "Market orders of one Point, each a trade; order_service, its feed of the topics, NATS, analytics with the "
            "embedded engine, PostgreSQL and the clients on the same cores. Lag: from the time of an event, stamped "
            "before its commit, until a read sees all its rows. `rows behind s`: from the last answer to all rows."
        ),
        metrics=("events/s", "lag p99 ms", "lag p50 ms", "rows behind s"),
        ours=(),
        arms=_arms(1.0 if quick else 10.0),
    )


@contextmanager
def _arms(seconds: float) -> Iterator[Sequence[Arm]]:
    with exchange.running() as ours, servers.folder() as folder:
        analytics = Analytics(ours, folder / "clickhouse")
        try:
            yield [
                Arm(f"{RATE_PER_SECOND:,}/s, open loop", partial(_open_loop, analytics, seconds)),
                Arm("as fast as batches of 100 go", partial(_batches, analytics, seconds)),
                Arm("what waited while it was stopped", partial(_backlog, analytics, seconds)),
            ]
        finally:
            analytics.stop()


def _open_loop(analytics: Analytics, seconds: float) -> Mapping[str, float]:
    async def load(stub: order_pb2_grpc.OrderServiceStub) -> None:
        await open_loop.send(analytics.ours, stub, RATE_PER_SECOND, seconds, Tally())

    return uvloop.run(_watched(analytics, load, with_lag=True))


def _batches(analytics: Analytics, seconds: float) -> Mapping[str, float]:
    return uvloop.run(_watched(analytics, partial(_in_batches, analytics.ours, seconds), with_lag=False))


async def _in_batches(ours: Exchange, seconds: float, stub: order_pb2_grpc.OrderServiceStub) -> None:
    end = time.perf_counter() + seconds
    workers = range(hot_market.BATCHES_IN_FLIGHT)
    await together([hot_market.trade_in_batches(ours, stub, number, Tally(), end) for number in workers])


def _backlog(analytics: Analytics, seconds: float) -> Mapping[str, float]:
    """Read from PostgreSQL and from the bus; the time it takes to start is not counted."""
    analytics.stop()
    before = asyncio.run(_last_seq(analytics.ours))
    uvloop.run(_loaded(analytics.ours, seconds))
    analytics.ours.published_after_seconds()
    analytics.start()
    return uvloop.run(_caught_up(analytics, before))


async def _loaded(ours: Exchange, seconds: float) -> None:
    async with open_channel(ours.address) as channel:
        await _in_batches(ours, seconds, order_pb2_grpc.OrderServiceStub(channel))


async def _caught_up(analytics: Analytics, before: int) -> Mapping[str, float]:
    started = time.perf_counter()
    last = await _last_seq(analytics.ours)
    async with open_channel(analytics.address) as channel:
        seen = Sightings(AnalyticsServiceStub(channel), analytics.ours.market_id)
        await seen.until(last)
    elapsed = time.perf_counter() - started
    return {"events/s": (last - before) / elapsed, "rows behind s": elapsed}


@dataclass(slots=True)
class Sightings:
    """Which event was the newest there, and when (Unix time), again and again."""

    stub: AnalyticsServiceStub
    market_id: str
    seqs: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def until(self, seq: int) -> None:
        deadline = time.monotonic() + THERE_SECONDS_MAX
        while not self.seqs or self.seqs[-1] < seq:
            if time.monotonic() > deadline:
                raise BenchError(f"event {seq} is not in ClickHouse after {THERE_SECONDS_MAX:g} s")
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        seq = await newest_seq(self.stub, self.market_id)
        self.seqs.append(seq)
        self.times.append(time.time())

    def seen_at(self, seq: int) -> float:
        return self.times[bisect_left(self.seqs, seq)]


async def _watched(analytics: Analytics, load: Load, *, with_lag: bool) -> Mapping[str, float]:
    """Looks at what is there while the load runs, and until all of it is there."""
    ours = analytics.ours
    analytics.ensure_started()
    async with open_channel(analytics.address) as channel, open_channel(ours.address) as orders:
        seen = Sightings(AnalyticsServiceStub(channel), ours.market_id)
        stub = order_pb2_grpc.OrderServiceStub(orders)
        await open_loop.send(ours, stub, RATE_BEFORE, SECONDS_BEFORE, Tally())
        before = await _last_seq(ours)
        await seen.until(before)
        watching = asyncio.create_task(seen.watch())
        await load(stub)
        answered = time.time()
        watching.cancel()
        await asyncio.wait((watching,))
        last = await _last_seq(ours)
        await seen.until(last)
    times = await _times(ours, before)
    there = seen.seen_at(last)
    figures = {
        "events/s": (last - before) / (there - times[before + 1]),
        "rows behind s": max(0.0, there - answered),
    }
    if with_lag:
        cuts = quantiles([seen.seen_at(seq) - moment for seq, moment in times.items()], n=100)
        figures |= {"lag p99 ms": cuts[98] * 1e3, "lag p50 ms": cuts[49] * 1e3}
    return figures


async def _last_seq(ours: Exchange) -> int:
    rows = await _rows(ours, "SELECT seq FROM markets WHERE market_id = $1", ours.market_id)
    last: int = rows[0]["seq"]
    return last


async def _times(ours: Exchange, after_seq: int) -> dict[int, float]:
    """Unix time by event."""
    query = "SELECT seq, time FROM events WHERE market_id = $1 AND seq > $2"
    return {row["seq"]: row["time"] / 1e6 for row in await _rows(ours, query, ours.market_id, after_seq)}


async def _rows(ours: Exchange, query: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(ours.postgres.url_for(DATABASE, "postgres"))
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()
