"""From a trade to its ticker: orders by REST at a fixed rate, and every socket that follows the market's ticker.

A trade's time is the one order_service stamps on its event before it is committed, so that what is shown is a little
more than from the commit. A ticker says the market as of an event's number, and merges what happens within 50 ms: a
trade is told by the first ticker of its number or a later one.
"""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import quantiles

import asyncpg

from bench import rest_load, suite
from bench.report import Arm, BenchError, Section
from bench.rest_load import Target
from bench.socket_load import Clients, Load, Receipts
from bench.suite import Suite

SOCKETS = (1, 1_000)
TRADES_PER_SECOND = 100
SETTLE_SECONDS = 1.0
METRICS = ("p99 ms", "p50 ms", "read: p99 ms", "trades/s")


def section(quick: bool) -> Section:
    return Section(
        title="Ticker, open loop",
        note=(
            f"{TRADES_PER_SECOND} trades a second by REST on one market; from the time of each trade's event, stamped "
            "before its commit, to the arrival of a ticker that includes it at each socket; `read`: to when the "
            "clients' own process had read it. Tickers are merged over 50 ms."
        ),
        metrics=METRICS,
        ours=(),
        arms=_arms(2.0 if quick else 10.0),
    )


@contextmanager
def _arms(seconds: float) -> Iterator[Sequence[Arm]]:
    with suite.running() as ours:
        yield [
            Arm(f"{count:,} {'socket' if count == 1 else 'sockets'}", partial(_measure, ours, count, seconds))
            for count in SOCKETS
        ]


def _measure(ours: Suite, count: int, seconds: float) -> Mapping[str, float]:
    hello = json.dumps({"cmd": "subscribe", "channel": "ticker", "market_ids": [ours.market_id]})
    target = Target(ours.port, ours.market_id, ours.authorizations)
    with Load(Clients(ours.sockets_port, "/ws/v1", count, hello)) as load:
        time.sleep(SETTLE_SECONDS)
        load.frames()
        before = _newest_seq(ours)
        rate = rest_load.open_loop(target, TRADES_PER_SECOND, seconds)["orders/s"]
        time.sleep(SETTLE_SECONDS)
        frames = load.frames()
    for seq, receipts in frames.items():
        if len(receipts.arrived) != count:
            raise BenchError(f"{count - len(receipts.arrived)} sockets did not get the ticker of {seq}")
    arrived, read = _delays(_trade_times(ours, before), frames)
    cuts = quantiles(arrived, n=100)
    return dict(
        zip(METRICS, (cuts[98] * 1e3, cuts[49] * 1e3, quantiles(read, n=100)[98] * 1e3, rate), strict=True)
    )


def _delays(times: Mapping[int, float], frames: Mapping[int, Receipts]) -> tuple[list[float], list[float]]:
    """Seconds until the arrival, and until the reading, of each trade at each socket."""
    seqs = sorted(frames)
    arrived: list[float] = []
    read: list[float] = []
    for seq, moment in times.items():
        place = bisect_left(seqs, seq)
        if place == len(seqs):
            raise BenchError(f"no ticker tells of event {seq}")
        receipts = frames[seqs[place]]
        arrived.extend(each - moment for each in receipts.arrived)
        read.extend(each - moment for each in receipts.read)
    return arrived, read


def _newest_seq(ours: Suite) -> int:
    rows = asyncio.run(_rows(ours, "SELECT max(seq) FROM events WHERE market_id = $1", ours.market_id))
    newest: int = rows[0][0]
    return newest


def _trade_times(ours: Suite, after_seq: int) -> dict[int, float]:
    """Unix time in seconds by event number."""
    query = "SELECT seq, time FROM events WHERE market_id = $1 AND seq > $2"
    rows = asyncio.run(_rows(ours, query, ours.market_id, after_seq))
    return {row["seq"]: row["time"] / 1e6 for row in rows}


async def _rows(ours: Suite, query: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(ours.database_url)
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()
