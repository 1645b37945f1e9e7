"""The process: follows the bus through kills, lost messages, a bus wiped, ClickHouse away; ends equal to PostgreSQL."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from analytics.clickhouse import Place
from launcher.embedded import NatsServer
from predmarket.analytics.v1 import analytics_pb2 as pb
from runtime.errors import ApiError, ErrorCode
from runtime.postgres import Connection
from tests.analytics import traffic
from tests.analytics.processes import Analytics, ClickHouseServer, Publisher, ended, settings_of
from tests.servers import Database

KILLS = 4


@pytest.fixture
async def server(private_folder: Path) -> AsyncIterator[ClickHouseServer]:
    server = ClickHouseServer(private_folder / "clickhouse")
    async with ended(server):
        await server.start()
        yield server


@pytest.fixture
def source() -> random.Random:
    seed = random.randrange(10**6)
    print("seed", seed)
    return random.Random(seed)


async def test_killed_at_random_it_ends_equal_and_a_group_sought_to_the_start_changes_nothing(
    private_folder: Path,
    fresh_database: Database,
    writer: Connection,
    private_nats: NatsServer,
    source: random.Random,
) -> None:
    place = Place(folder=private_folder / "clickhouse")
    process = Analytics(settings_of(fresh_database, private_nats.url, place))
    bus = Publisher(fresh_database, private_nats.url)
    shard = await traffic.opened(writer)
    async with ended(process):
        market_id = await traffic.traded(shard, source, 20)
        for _ in range(KILLS):
            await process.start(ready=False)
            await traffic.traded(shard, source, 20, market_id)
            await bus.publish()
            await asyncio.sleep(source.uniform(0.5, 3))
            await process.kill()
        await process.start()
        await process.until_equal()
        before = await process.reconciled()
        await process.kill()
        await bus.seek_to_start()
        await process.start()
        await traffic.traded(shard, source, 5, market_id)
        await bus.publish()
        await process.until_equal()
        progress = await process.ask("GetProgress", pb.GetProgressRequest(market_id=market_id))
        assert progress.is_writer
        after = await process.reconciled()
        grown = {line.what: line.postgres for line in after}
        trades = [line for line in before if line.what.startswith("trades:")]
        assert trades
        assert all(grown[line.what] >= line.postgres for line in trades)
        assert await process.kill(15) == 0


async def test_what_a_wiped_bus_never_brought_is_read_from_postgres(
    private_folder: Path,
    fresh_database: Database,
    writer: Connection,
    private_nats: NatsServer,
    source: random.Random,
) -> None:
    place = Place(folder=private_folder / "clickhouse")
    process = Analytics(settings_of(fresh_database, private_nats.url, place))
    bus = Publisher(fresh_database, private_nats.url)
    shard = await traffic.opened(writer)
    async with ended(process):
        market_id = await traffic.traded(shard, source, 10)
        await bus.publish()
        await process.start()
        await process.until_equal()
        await bus.wipe()
        await traffic.traded(shard, source, 10, market_id)
        await process.until_equal()  # though nothing was published
        await traffic.traded(shard, source, 10, market_id)
        await bus.publish()
        await process.until_equal()


async def test_with_clickhouse_killed_and_away_it_is_equal_again_when_that_is_back(
    server: ClickHouseServer,
    fresh_database: Database,
    writer: Connection,
    private_nats: NatsServer,
    source: random.Random,
) -> None:
    process = Analytics(settings_of(fresh_database, private_nats.url, server.place))
    bus = Publisher(fresh_database, private_nats.url)
    shard = await traffic.opened(writer)
    async with ended(process):
        await process.start()
        market_id = await traffic.traded(shard, source, 20)
        for _ in range(2):
            publishing = asyncio.create_task(bus.publish())
            await asyncio.sleep(source.uniform(0, 0.3))
            await server.kill()
            await publishing
            await traffic.traded(shard, source, 20, market_id)
            await bus.publish()
            with pytest.raises(ApiError) as refused:
                await process.ask("ListTickers", pb.ListTickersRequest())
            assert refused.value.code is ErrorCode.UNAVAILABLE
            await server.start()
            took = await process.until_equal()
            print("equal after", round(took, 2), "s")


async def test_of_two_processes_one_writes_and_the_other_takes_its_place(
    server: ClickHouseServer,
    fresh_database: Database,
    writer: Connection,
    private_nats: NatsServer,
    source: random.Random,
) -> None:
    settings = settings_of(fresh_database, private_nats.url, server.place)
    first, second = Analytics(settings), Analytics({**settings, "INSTANCE": "analytics-2"})
    bus = Publisher(fresh_database, private_nats.url)
    shard = await traffic.opened(writer)
    async with ended(first), ended(second):
        await first.start()
        market_id = await traffic.traded(shard, source, 10)
        await bus.publish()
        await first.until_equal()
        await second.start()
        assert [(await one.standing()).is_writer for one in (first, second)] == [True, False]
        await first.kill()
        await traffic.traded(shard, source, 10, market_id)
        await bus.publish()
        await second.until_equal()
        assert (await second.standing()).is_writer


async def test_a_market_whose_first_event_is_on_its_way_has_no_candles_yet_and_a_draft_is_unknown(
    private_folder: Path, fresh_database: Database, writer: Connection, private_nats: NatsServer
) -> None:
    place = Place(folder=private_folder / "clickhouse")
    settings = settings_of(fresh_database, private_nats.url, place, COMPARE_SECONDS="3600")
    process = Analytics(settings)
    shard = await traffic.opened(writer)
    async with ended(process):
        await process.start()
        await process.until_equal()
        on_its_way, draft = await shard.market(), await shard.market(active=False)
        asked = pb.ListCandlesRequest(market_id=on_its_way, interval=pb.INTERVAL_1M)
        assert not (await process.ask("ListCandles", asked)).candles
        with pytest.raises(ApiError) as refused:
            await process.ask("ListCandles", pb.ListCandlesRequest(market_id=draft, interval=pb.INTERVAL_1M))
        assert refused.value.code is ErrorCode.MARKET_NOT_FOUND


async def test_candles_tickers_and_past_books_are_served(
    private_folder: Path,
    fresh_database: Database,
    writer: Connection,
    private_nats: NatsServer,
    source: random.Random,
) -> None:
    place = Place(folder=private_folder / "clickhouse")
    process = Analytics(settings_of(fresh_database, private_nats.url, place))
    shard = await traffic.opened(writer, days_ago=30)
    market_id = await traffic.traded(shard, source, 30)
    async with ended(process):
        await process.start()
        await process.until_equal()
        asked = pb.ListCandlesRequest(market_id=market_id, interval=pb.INTERVAL_1D)
        daily = await process.ask("ListCandles", asked)
        ticker = (await process.ask("ListTickers", pb.ListTickersRequest(market_ids=[market_id]))).tickers[0]
        assert sum(c.volume_book_micros + c.volume_pool_micros for c in daily.candles) == ticker.volume_micros
        assert daily.candles[-1].price.close_micros == ticker.probability_micros
        book = await process.ask("GetBookAt", pb.GetBookAtRequest(market_id=market_id, time=shard.now))
        # The ticker's bid is that of book and pool together.
        assert all(level.price_micros <= ticker.best_bid_micros for level in book.bids)
        rows = (
            await process.ask(
                "GetLeaderboard",
                pb.GetLeaderboardRequest(metric=pb.METRIC_PROFIT, period=pb.PERIOD_ALL, limit=2),
            )
        ).rows
        assert len(rows) == 2
        for method, request in (
            ("ListCandles", pb.ListCandlesRequest(market_id=traffic.CAROL, interval=pb.INTERVAL_1M)),
            ("GetBookAt", pb.GetBookAtRequest(market_id=traffic.CAROL, time=shard.now)),
        ):
            with pytest.raises(ApiError) as refused:
                await process.ask(method, request)
            assert refused.value.code is ErrorCode.MARKET_NOT_FOUND
        refusals: tuple[tuple[str, Any], ...] = (
            ("ListCandles", pb.ListCandlesRequest(market_id="x", interval=pb.INTERVAL_1M)),
            ("ListCandles", pb.ListCandlesRequest(market_id=market_id)),
            ("ListCandles", pb.ListCandlesRequest(market_id=market_id, interval=99)),  # type: ignore[arg-type]
            (
                "ListCandles",
                pb.ListCandlesRequest(market_id=market_id, interval=pb.INTERVAL_1M, from_time=-1),
            ),
            (
                "ListCandles",
                pb.ListCandlesRequest(market_id=market_id, interval=pb.INTERVAL_1M, to_time=2**63 - 1),
            ),
            ("ListCandles", pb.ListCandlesRequest(market_id=market_id, interval=pb.INTERVAL_1M, limit=1_001)),
            ("ListTickers", pb.ListTickersRequest(market_ids=[market_id] * 201)),
            ("GetLeaderboard", pb.GetLeaderboardRequest(metric=pb.METRIC_PROFIT)),
            ("GetBookAt", pb.GetBookAtRequest(market_id=market_id, time=1, depth=-1)),
            ("GetCalibration", pb.GetCalibrationRequest(hours_before=8_761)),
        )
        for method, request in refusals:
            with pytest.raises(ApiError) as refused:
                await process.ask(method, request)
            assert refused.value.code is ErrorCode.INVALID_ARGUMENT, (method, request)
