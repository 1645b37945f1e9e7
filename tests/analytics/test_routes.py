"""The routes of figures over time, through the gateway, while trades come in by the usual way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from launcher.embedded import NatsServer
from runtime.clock import SystemClock, to_rfc3339
from tests.api_gateway.support import NOBODY, POINT, UNLIMITED, Suite, User, open_market, run_suite
from tests.servers import Database

WAIT_SECONDS = 30


async def _until(user: User, path: str, condition: Any) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            reply = await user.ask("GET", path)
            if reply.status == 200 and condition(reply.body):
                return dict(reply.body)
            await asyncio.sleep(0.1)


async def _trades(suite: Suite) -> tuple[str, User]:
    admin, ann = await suite.admin(), await suite.user("ann")
    market_id = await open_market(admin)
    await _is_there_at_once(suite.nobody(), market_id)
    for amount in (10, 20):
        order = {"market_id": market_id, "side": "BUY", "outcome": "YES", "type": "MARKET"}
        await ann.post("/v1/orders", {**order, "amount_micros": amount * POINT, "max_slippage_bps": 5_000})
    bid = {"market_id": market_id, "side": "BUY", "outcome": "YES", "type": "LIMIT", "price_micros": 100_000}
    await ann.post("/v1/orders", {**bid, "quantity_micros": POINT})
    return market_id, ann


async def _is_there_at_once(one: User, market_id: str) -> None:
    """Before analytics has heard of it."""
    candles = await one.get(f"/v1/markets/{market_id}/candles?interval=1d")
    assert all(candle["trades"] == 0 for candle in candles["items"])
    ticker = await one.get(f"/v1/markets/{market_id}/ticker")
    assert (ticker["probability_micros"], ticker["volume_24h_micros"]) == (500_000, 0)


async def test_what_was_traded_shows_in_candles_past_books_and_the_leaderboard(
    fresh_database: Database, private_nats: NatsServer, private_folder: Path, redis_server: Any
) -> None:
    settings = {"redis_url": redis_server.url, **UNLIMITED}
    async with run_suite(
        fresh_database, private_nats.url, all_settings=settings, analytics=private_folder
    ) as suite:
        market_id, ann = await _trades(suite)
        one = suite.nobody()
        path = f"/v1/markets/{market_id}/candles?interval=1d"
        market = await one.get(f"/v1/markets/{market_id}")
        found = await _until(one, path, lambda candles: _has_all(candles, market))
        candle = found["items"][0]
        assert candle["volume_pool_micros"] == market["volume_micros"] == candle["volume_up_micros"]
        assert (candle["trades"], candle["open_micros"]) == (2, 500_000)
        assert candle["bid_close_micros"] <= candle["close_micros"] <= candle["ask_close_micros"]

        at = to_rfc3339(SystemClock().now_micros())
        live = await one.get(f"/v1/markets/{market_id}/book")
        path = f"/v1/markets/{market_id}/book?at={at}"
        past = await _until(one, path, lambda book: bool(book["seq"] == live["seq"]))
        assert [past[name] for name in ("bids", "asks", "pool")] == [
            live[name] for name in ("bids", "asks", "pool")
        ]

        board = await one.get("/v1/leaderboard?metric=volume&period=daily")
        assert [row["user_id"] for row in board["items"]] == [ann.user_id]
        assert board["items"][0]["display_name"]
        assert "@" not in board["items"][0]["display_name"]
        assert (await one.get("/v1/calibration"))["markets"] == 0
        await _refusals(one, market_id)
        await _headers(suite, market_id)


def _has_all(candles: dict[str, Any], market: dict[str, Any]) -> bool:
    """Each topic comes by itself: the trades may be there before the prices."""
    return any(
        candle["trades"] == 2 and candle["close_micros"] == market["probability_micros"]
        for candle in candles["items"]
    )


async def _refusals(one: User, market_id: str) -> None:
    for path, status, code in (
        (f"/v1/markets/{NOBODY}/candles?interval=1m", 404, "MARKET_NOT_FOUND"),
        (f"/v1/markets/{NOBODY}/book?at=2026-01-01T00:00:00Z", 404, "MARKET_NOT_FOUND"),
        (f"/v1/markets/{market_id}/book?at=2020-01-01T00:00:00Z", 404, "MARKET_NOT_FOUND"),
        (f"/v1/markets/{market_id}/candles", 422, "INVALID_ARGUMENT"),
        (f"/v1/markets/{market_id}/candles?interval=2m", 422, "INVALID_ARGUMENT"),
        (f"/v1/markets/{market_id}/candles?interval=1m&from=yesterday", 422, "INVALID_ARGUMENT"),
        (f"/v1/markets/{market_id}/candles?interval=1m&to=2200-01-01T00:00:00Z", 422, "INVALID_ARGUMENT"),
        ("/v1/leaderboard?metric=luck", 422, "INVALID_ARGUMENT"),
        ("/v1/calibration?hours_before=-1", 422, "INVALID_ARGUMENT"),
    ):
        reply = await one.ask("GET", path)
        assert (reply.status, reply.body["code"]) == (status, code), path


async def _headers(suite: Suite, market_id: str) -> None:
    """What is over may be kept for an hour, what still changes for a second."""
    for query, control in (
        ("interval=1m", "public, max-age=1"),
        ("interval=1m&to=2026-01-01T00:00:00Z", "public, max-age=3600"),
    ):
        url = f"{suite.url}/v1/markets/{market_id}/candles?{query}"
        async with suite.http.get(url) as answer:
            assert answer.headers["Cache-Control"] == control
            tag = answer.headers["ETag"]
        async with suite.http.get(url, headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
