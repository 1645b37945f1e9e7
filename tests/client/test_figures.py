"""Candles, books of the past, the leaderboard: with a real analytics behind the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from predmarket_client import ApiError, Candle, Client, limit, market, micros
from tests.api_gateway.support import Suite, run_suite
from tests.client.support import Clients, open_market

WAIT_SECONDS = 60


@pytest.fixture
async def suite(
    fresh_database: Any, private_nats: Any, private_folder: Path, settings: Mapping[str, Any]
) -> AsyncIterator[Suite]:
    async with run_suite(
        fresh_database, private_nats.url, all_settings=settings, analytics=private_folder
    ) as running:
        yield running


async def candles_with(client: Client, market_id: str, trades: int) -> tuple[Candle, ...]:
    """Once they hold so many trades and the last price."""
    now = (await client.markets.get(market_id)).probability_micros
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                found = await client.markets.candles(market_id, "1d")
            except ApiError as error:  # until analytics has its first event
                if error.code != "MARKET_NOT_FOUND":
                    raise
                found = ()
            if sum(candle.trades for candle in found) == trades and found[-1].close_micros == now:
                return found
            await asyncio.sleep(0.1)


async def test_figures_over_time_come_in_shapes(suite: Suite, admin: Client, clients: Clients) -> None:
    market_id, ann = await open_market(admin), await clients("ann")
    began = datetime.now(UTC)
    for points in (10, 20):
        await ann.orders.place(
            market("BUY", "YES", market_id, amount_micros=micros(points), max_slippage_bps=5_000)
        )
    await ann.orders.place(
        limit("BUY", "YES", market_id, price_micros=micros("0.1"), quantity_micros=micros(1))
    )
    async with Client(suite.url) as nobody:
        candles = await candles_with(nobody, market_id, trades=2)
        assert candles[0].open_micros == 500_000
        traded = sum(candle.volume_pool_micros for candle in candles)
        assert traded == (await nobody.markets.get(market_id)).volume_micros
        assert sum(candle.volume_up_micros for candle in candles) == traded
        ahead = datetime.now(UTC) - timedelta(days=2)
        assert await nobody.markets.candles(market_id, "1h", until=ahead) == ()
        assert await nobody.markets.candles(market_id, "1m", since=began - timedelta(minutes=1))

        at, live = datetime.now(UTC), await nobody.markets.book(market_id)
        async with asyncio.timeout(WAIT_SECONDS):
            while (past := await nobody.markets.book_at(market_id, at)).seq != live.seq:
                await asyncio.sleep(0.1)
        assert (past.bids, past.asks, past.pool) == (live.bids, live.asks, live.pool)
        assert past.bids == ((micros("0.1"), micros(1)),)
        assert (await nobody.markets.book_at(market_id, at, depth=1)).bids == past.bids
        with pytest.raises(ApiError, match="MARKET_NOT_FOUND"):
            await nobody.markets.book_at(market_id, began - timedelta(days=1))

        board = await nobody.analytics.leaderboard(metric="volume")
        (row,) = board.items
        assert (row.rank, row.display_name, row.profit_micros) == (1, "ann", None)
        assert row.volume_micros is not None
        gains = (await nobody.analytics.leaderboard(period="weekly", limit=10)).items
        assert {each.display_name: each.volume_micros for each in gains} == {"ann": None}
        calibration = await nobody.analytics.calibration(hours_before=1)
        assert (calibration.markets, calibration.brier_micros, len(calibration.bins)) == (0, None, 10)


async def test_a_time_without_a_time_zone_is_not_sent() -> None:
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(ValueError, match="time zone"):
            await client.markets.book_at("m", datetime.now(UTC).replace(tzinfo=None))
