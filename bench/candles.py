"""How long candles and a ticker take to compute over many trades: rows made in ClickHouse by SQL, asked over gRPC."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import uvloop

from analytics import schema
from analytics.clickhouse import Place, opened
from bench import exchange, servers
from bench.analytics_server import ANSWER_SECONDS, Analytics
from bench.report import Arm, BenchError, Section
from predmarket.analytics.v1 import analytics_pb2 as pb
from predmarket.analytics.v1.analytics_pb2_grpc import AnalyticsServiceStub
from runtime.errors import ApiError
from runtime.grpc_client import call, open_channel

TRADES = 10_000_000
TRADES_QUICK = 200_000
MARKETS = 20
DAYS = 90
DAY_MICROS = 86_400_000_000
MARKET_IDS = [f"00000000-0000-0000-0000-{number:012d}" for number in range(1, MARKETS + 1)]
BUSY, QUIET = MARKET_IDS[:2]
"""The first has every second trade."""

ROWS_PER_INSERT = 1_000_000

Ask = Callable[[AnalyticsServiceStub], Coroutine[Any, Any, int]]

# A trade an event, evenly over the days; the price wanders as sines do.
_ROWS = """
    WITH if(number % 2 = 0, 1, 2 + intDiv(number, 2) % {others}) AS market,
         fromUnixTimestamp64Micro({start} + toInt64(number * {step})) AS at,
         toInt64(500000 + 300000 * sin(number / 90000.0 + market) + cityHash64(number) % 20000) AS p
    SELECT toUUID('00000000-0000-0000-0000-' || lpad(toString(market), 12, '0')) AS market_id,
           number + 1 AS seq, 0 AS row, at AS time, {columns}
    FROM numbers({first}, {count})
"""
_PRICES = """
    p AS probability_micros, p - 5000 AS best_bid_micros, p + 5000 AS best_ask_micros, p AS mid_micros,
    p AS last_price_micros, p AS pool_yes_micros, 1000000 - p AS pool_no_micros, 10000000 AS open_interest_micros,
    toInt64(number) AS volume_micros
"""
_TRADES = """
    generateUUIDv4() AS trade_id, if(number % 3 = 0, 'BOOK', 'POOL') AS venue,
    if(number % 3 = 0, 'MINT', 'POOL') AS kind, if(number % 5 < 2, 'YES', 'NO') AS outcome,
    if(number % 7 < 4, 'BUY', 'SELL') AS taker_side, p AS price_micros, p AS yes_price_micros,
    toInt64(1000000 + number % 1000) AS quantity_micros, p AS cost_micros, 20000 AS fee_micros,
    generateUUIDv4(1) AS taker_order_id, generateUUIDv4(2) AS taker_user_id, generateUUIDv4(3) AS maker_order_id,
    generateUUIDv4(4) AS maker_user_id
"""


def section(quick: bool) -> Section:
    trades = TRADES_QUICK if quick else TRADES
    return Section(
        title=f"Candles at {trades:,} trades",
        note=(
            f"Rows made by SQL, over {DAYS} days and {MARKETS} markets, half of them in one; one question at a time "
            "over gRPC, computed from the rows each time. `answers`: candles in an answer."
        ),
        metrics=("p50 ms", "p99 ms", "answers"),
        ours=(),
        arms=_arms(trades, 20 if quick else 60),
    )


@contextmanager
def _arms(trades: int, questions: int) -> Iterator[Sequence[Arm]]:
    with exchange.running() as ours, servers.folder() as folder:
        now = int(time.time() * 1_000_000)
        _in_a_process(folder / "clickhouse", trades, now)
        analytics = Analytics(ours, folder / "clickhouse")
        analytics.start()
        try:
            asked: dict[str, Ask] = {
                "1m, the last 500": partial(_candles, BUSY, pb.INTERVAL_1M, 500, now),
                "1h, the last 500": partial(_candles, BUSY, pb.INTERVAL_1H, 500, now),
                "1h, the last 1,000": partial(_candles, BUSY, pb.INTERVAL_1H, 1_000, now),
                f"1d, all {DAYS} days": partial(_candles, BUSY, pb.INTERVAL_1D, DAYS + 1, now),
                "1h, the last 500, quiet market": partial(_candles, QUIET, pb.INTERVAL_1H, 500, now),
                "tickers of all markets": _tickers,
            }
            yield [Arm(name, partial(_measure, analytics, ask, questions)) for name, ask in asked.items()]
        finally:
            analytics.stop()


def _measure(analytics: Analytics, ask: Ask, questions: int) -> Mapping[str, float]:
    return uvloop.run(_asked(analytics, ask, questions))


async def _asked(analytics: Analytics, ask: Ask, questions: int) -> Mapping[str, float]:
    seconds: list[float] = []
    answers = 0
    async with open_channel(analytics.address) as channel:
        stub = AnalyticsServiceStub(channel)
        await ask(stub)
        for _ in range(questions):
            started = time.perf_counter()
            answers = await ask(stub)
            seconds.append(time.perf_counter() - started)
    cuts = quantiles(seconds, n=100)
    return {"p50 ms": cuts[49] * 1e3, "p99 ms": cuts[98] * 1e3, "answers": answers}


async def _candles(
    market_id: str, interval: pb.Interval, limit: int, until: int, stub: AnalyticsServiceStub
) -> int:
    request = pb.ListCandlesRequest(market_id=market_id, interval=interval, to_time=until, limit=limit)
    found = len((await _answer(stub.ListCandles, request)).candles)
    if not found:
        raise BenchError(f"no candles of {market_id}")
    return found


async def _tickers(stub: AnalyticsServiceStub) -> int:
    found = len((await _answer(stub.ListTickers, pb.ListTickersRequest(market_ids=MARKET_IDS))).tickers)
    if found != MARKETS:
        raise BenchError(f"{found} tickers of {MARKETS} markets")
    return found


async def _answer(method: Any, request: Any) -> Any:
    try:
        return await call(method, request, deadline_seconds=ANSWER_SECONDS)
    except ApiError as error:
        raise BenchError(f"analytics answered {error.code}: {error.message}") from error


def _in_a_process(folder: Path, trades: int, now: int) -> None:
    """The embedded engine stays in a process that opened it."""
    process = multiprocessing.get_context("spawn").Process(target=_make_rows, args=(folder, trades, now))
    process.start()
    process.join()
    if process.exitcode:
        raise BenchError(f"the rows could not be made: exit code {process.exitcode}")


def _make_rows(folder: Path, trades: int, now: int) -> None:
    asyncio.run(_insert(folder, trades, now))


async def _insert(folder: Path, trades: int, now: int) -> None:
    step = DAYS * DAY_MICROS // trades
    async with opened(Place(folder=folder)) as clickhouse:
        await schema.apply(clickhouse)
        for table, columns in (("prices", _PRICES), ("trades", _TRADES)):
            for first in range(0, trades, ROWS_PER_INSERT):
                rows = _ROWS.format(
                    others=MARKETS - 1,
                    start=now - DAYS * DAY_MICROS,
                    step=step,
                    columns=columns,
                    first=first,
                    count=min(ROWS_PER_INSERT, trades - first),
                )
                await clickhouse.command(f"INSERT INTO {table} {rows}")
