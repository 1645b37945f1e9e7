"""Markets in figures: one, several, all; merged, and to slow readers only the newest."""

import asyncio
import time
import uuid
from typing import Any

import pytest

import ws_service.socket
from runtime.metrics import REGISTRY
from runtime.ports import free_port
from tests.ws_service.support import Live, Servers, run_live


async def test_a_ticker_comes_first_as_it_is_then_as_it_changes(live: Live, market: str) -> None:
    live.books.put(market, seq=5)
    live.books.figures[market] = {"probability_micros": 600_000, "collateral_micros": 9}
    reader = await live.connect()
    await reader.subscribe("ticker", market)
    assert await reader.next() == {
        "type": "ticker",
        "market_id": market,
        "seq": 5,
        "probability_micros": 600_000,
        "best_bid_micros": None,
        "best_ask_micros": None,
        "mid_micros": None,
        "last_price_micros": None,
        "change_24h_micros": None,
        "volume_24h_micros": None,
        "open_interest_micros": 9,
        "time": "1970-01-01T00:00:00.000001Z",
    }
    levels = [[400_000, 7, "bid"], [300_000, 7, "bid"], [700_000, 7, "ask"], [800_000, 7, "ask"]]
    figures = {"probability_micros": 610_000, "last_price_micros": 620_000, "collateral_micros": 12}
    await live.change(market, 5, 6, *levels, **figures)
    frame = await reader.next()
    assert (frame["best_bid_micros"], frame["best_ask_micros"], frame["mid_micros"]) == (
        400_000,
        700_000,
        550_000,
    )
    assert (frame["probability_micros"], frame["last_price_micros"]) == (610_000, 620_000)
    assert (frame["open_interest_micros"], frame["seq"]) == (12, 6)


async def test_without_market_service_a_days_figures_are_null(servers: Servers, market: str) -> None:
    async with run_live(servers, market_grpc=f"127.0.0.1:{free_port()}") as live:
        live.books.put(market, seq=5)
        reader = await live.connect()
        await reader.subscribe("ticker", market)
        frame = await reader.next()
        assert (frame["change_24h_micros"], frame["volume_24h_micros"]) == (None, None)


async def test_what_changes_no_figure_is_not_told(live: Live, market: str) -> None:
    live.books.put(market, seq=0)
    reader = await live.connect()
    await reader.subscribe("ticker", market)
    await reader.next()
    await live.change(market, 0, 1, [400_000, 7, "bid"])
    assert (await reader.next())["best_bid_micros"] == 400_000
    await live.change(market, 1, 2, [300_000, 7, "bid"])
    await asyncio.sleep(0.2)
    await live.change(market, 2, 3, [400_000, 0, "bid"])
    frame = await reader.next()
    assert (frame["best_bid_micros"], frame["seq"]) == (300_000, 3)


async def test_tickers_are_merged_and_the_first_goes_at_once(servers: Servers, market: str) -> None:
    async with run_live(servers, merge_seconds=0.5) as live:
        live.books.put(market, seq=0)
        reader = await live.connect()
        await reader.subscribe("ticker", market)
        await reader.next()
        await asyncio.sleep(0.6)
        started = time.monotonic()
        await live.change(market, 0, 1, [10_000, 1, "bid"])
        await reader.next()
        assert time.monotonic() - started < 0.4
        for seq in range(2, 12):
            await live.change(market, seq - 1, seq, [10_000 * seq, 1, "bid"])
        assert (await reader.next())["best_bid_micros"] == 110_000
        assert time.monotonic() - started >= 0.45


async def test_everybody_may_follow_the_tickers_of_all_markets(live: Live) -> None:
    reader, other = await live.connect(), await live.connect()
    await reader.subscribe("ticker", "*")
    await other.subscribe("ticker", "*")
    markets = [str(uuid.uuid4()) for _ in range(3)]
    for market in markets:
        live.books.put(market, seq=7)
        await live.change(market, 6, 7)
    for follower in (reader, other):
        assert {(await follower.next())["market_id"] for _ in markets} == set(markets)
    await live.change(markets[1], 7, 8, [10_000, 1, "bid"])
    frame = await reader.next()
    assert (frame["market_id"], frame["best_bid_micros"]) == (markets[1], 10_000)
    assert await other.next() == frame
    await reader.send(id=2, cmd="unsubscribe", channel="ticker", market_ids=["*"])
    await reader.next()
    await live.change(markets[1], 8, 9, [10_000, 0, "bid"])
    assert (await other.next())["best_bid_micros"] is None
    await reader.send(id=3, cmd="ping")
    assert (await reader.next())["type"] == "pong"


async def test_drafts_have_no_ticker(live: Live, market: str) -> None:
    reader = await live.connect()
    await reader.subscribe("ticker", "*")
    live.books.put(market, seq=1)
    await live.change(market, 0, 1, status="DRAFT")
    await live.change(market, 1, 2, status="ACTIVE")
    live.books.put(market, seq=2)
    assert (await reader.next())["seq"] == 2


async def test_a_slow_reader_gets_the_newest_ticker_of_each_market(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ws_service.socket, "BUFFERED_MAX_BYTES", 1_000)
    async with run_live(servers, merge_seconds=0.001) as live:
        markets = [str(uuid.uuid4()) for _ in range(20)]
        for market in markets:
            live.books.put(market, seq=0)
        slow, quick = await live.connect(), await live.connect()
        assert (await slow.subscribe("ticker", *markets))["type"] == "subscribed"
        await quick.subscribe("ticker", "*")
        for _ in markets:
            await slow.next()
        transport: Any = slow.socket._response.connection.transport  # type: ignore[union-attr]
        transport.pause_reading()
        rounds, newest = 0, dict[str, int]()
        while not REGISTRY.get_sample_value("ws_slow_sockets") or rounds % 10:
            rounds += 1
            for market in markets:
                live.books.put(market, seq=rounds)
                await live.change(market, rounds - 1, rounds, collateral_micros=rounds)
            while newest.get(markets[-1]) != rounds:
                frame = await quick.next()
                newest[frame["market_id"]] = frame["seq"]
        transport.resume_reading()
        seen: dict[str, int] = {}
        while len(seen) < len(markets) or set(seen.values()) != {rounds}:
            frame = await slow.next()
            assert frame["seq"] > seen.get(frame["market_id"], 0)
            seen[frame["market_id"]] = frame["seq"]
