"""Candles, tickers, leaderboards, past books and calibration equal what the events say, computed in Python."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from analytics.queries import books, calibration, candles, leaderboards, tickers
from db_service.topics.reading import head_at
from engine.state import Verdict
from predmarket.analytics.v1 import analytics_pb2 as pb
from runtime.clock import from_rfc3339
from runtime.topics import Topic
from tests.analytics import traffic
from tests.analytics.by_hand import candles_of
from tests.analytics.world import World
from tests.db_service.shard import connect


@pytest.mark.parametrize("interval", [pb.INTERVAL_1M, pb.INTERVAL_5M, pb.INTERVAL_1H, pb.INTERVAL_1D])
async def test_candles_are_those_of_the_events(world: World, interval: pb.Interval) -> None:
    step = candles.STEP_MICROS[interval]
    whole = candles.Span(step, 0, world.now + 1)
    found = await candles.candles(world.clickhouse, world.open_market, whole)
    prices, fills = (
        [message.content for message in world.of(topic, world.open_market)]
        for topic in (Topic.PRICE_UPDATES, Topic.FILLS)
    )
    assert found == candles_of(prices, fills, step)
    later = found[len(found) // 2 :]
    part = candles.Span(step, later[0].start, world.now + 1)
    assert await candles.candles(world.clickhouse, world.open_market, part) == later


async def test_the_book_at_a_hundred_past_moments_is_the_one_folded_from_postgres(
    world: World,
) -> None:
    reader = await connect(world.database.url_for("pm_analytics"))
    source = random.Random(1)
    events = world.of(Topic.MARKET_EVENTS, world.open_market)
    times = [from_rfc3339(message.content["time"]) for message in events]
    opened_at = from_rfc3339(world.of(Topic.PRICE_UPDATES, world.open_market)[0].content["time"])
    for _ in range(100):
        at = source.choice((source.randrange(opened_at, world.now + 1), source.choice(times[1:])))
        seq = max(message.seq for message, time in zip(events, times, strict=True) if time <= at)
        head = await head_at(reader, world.open_market, seq)
        found = await books.book_at(world.clickhouse, world.open_market, at, 0)
        assert found is not None
        assert found.seq == seq
        assert [(level.price_micros, level.quantity_micros) for level in found.bids] == sorted(
            head.bids.items(), reverse=True
        )
        assert [(level.price_micros, level.quantity_micros) for level in found.asks] == sorted(
            head.asks.items()
        )
        assert head.after is not None
        assert (found.status, found.pool_yes_micros, found.pool_no_micros, found.probability_micros) == (
            head.after.status,
            head.after.pool_yes,
            head.after.pool_no,
            head.probability_micros,
        )
    await reader.close()


async def test_before_its_opening_a_market_has_no_book(world: World) -> None:
    opened_at = from_rfc3339(world.of(Topic.PRICE_UPDATES, world.open_market)[0].content["time"])
    assert await books.book_at(world.clickhouse, world.open_market, opened_at - 1, 0) is None
    assert await books.book_at(world.clickhouse, world.open_market, opened_at, 0) is not None
    assert await books.book_at(world.clickhouse, traffic.CAROL, world.now, 0) is None


async def test_tickers_are_those_of_the_events(world: World) -> None:
    now = world.now
    wanted = [world.open_market, *world.decided]
    found = await tickers.tickers(world.clickhouse, [*wanted, traffic.CAROL], now)
    assert [ticker.market_id for ticker in found] == wanted
    for ticker in found:
        assert ticker == naive_ticker(world, ticker.market_id, now)


async def test_the_most_traded_come_first_when_nobody_says_which(world: World) -> None:
    now = world.now
    ids = await tickers.most_traded(world.clickhouse, 10, now)
    assert set(ids) == {world.open_market, *world.decided}
    volumes = [naive_ticker(world, market_id, now).volume_24h_micros for market_id in ids]
    assert volumes == sorted(volumes, reverse=True)


def naive_ticker(world: World, market_id: str, now: int) -> pb.Ticker:
    since = now - tickers.DAY_MICROS
    prices = [message.content for message in world.of(Topic.PRICE_UPDATES, market_id)]
    old = [price for price in prices if from_rfc3339(price["time"]) < since]
    then = (old or prices[:1])[-1]["probability_micros"]
    seen = [then, *(price["probability_micros"] for price in prices[len(old) :])]
    trades = [
        trade
        for message in world.of(Topic.FILLS, market_id)
        if from_rfc3339(message.content["time"]) >= since
        for trade in message.content["trades"]
    ]
    last = prices[-1]
    return pb.Ticker(
        market_id=market_id,
        seq=last["seq"],
        probability_micros=last["probability_micros"],
        best_bid_micros=last["best_bid_micros"] or 0,
        best_ask_micros=last["best_ask_micros"] or 0,
        mid_micros=last["mid_micros"] or 0,
        last_price_micros=last["last_price_micros"] or 0,
        change_24h_micros=last["probability_micros"] - then,
        high_24h_micros=max(seen),
        low_24h_micros=min(seen),
        volume_24h_micros=sum(trade["quantity_micros"] for trade in trades),
        trades_24h=len(trades),
        volume_micros=last["volume_micros"],
        open_interest_micros=last["open_interest_micros"],
        time=from_rfc3339(last["time"]),
    )


@pytest.mark.parametrize("period", [pb.PERIOD_DAILY, pb.PERIOD_WEEKLY, pb.PERIOD_ALL])
async def test_the_leaderboards_are_those_of_the_ledger_and_the_fills(
    world: World, period: pb.Period
) -> None:
    now = world.now
    length = leaderboards.PERIOD_MICROS[period]
    since = 0 if length is None else now - length
    by_profit = await leaderboards.leaders(world.clickhouse, pb.METRIC_PROFIT, period, now)
    assert {row.user_id: row.profit_micros for row in by_profit} == naive_profits(world, since)
    assert [row.profit_micros for row in by_profit] == sorted(
        (r.profit_micros for r in by_profit), reverse=True
    )
    by_volume = await leaderboards.leaders(world.clickhouse, pb.METRIC_VOLUME, period, now)
    volumes: dict[str, int] = defaultdict(int)
    for message in world.told[Topic.FILLS]:
        if from_rfc3339(message.content["time"]) >= since:
            for fill in message.content["fills"]:
                volumes[fill["user_id"]] += fill["cost_micros"]
    assert {row.user_id: row.volume_micros for row in by_volume} == volumes
    assert [row.rank for row in by_volume] == list(range(1, len(by_volume) + 1))


def naive_profits(world: World, since: int) -> dict[str, int]:
    """Per user, over markets: Points that came in, and what the shares are worth now minus then (rounded to zero)."""
    profits: dict[str, int] = defaultdict(int)
    for market_id in (world.open_market, *world.decided):
        shares: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for message in world.of(Topic.MARKET_EVENTS, market_id):
            is_new = from_rfc3339(message.content["time"]) >= since
            for row in message.content["ledger"]:
                user_id = row["user_id"]
                if user_id not in traffic.TRADERS:
                    continue
                profits[user_id] += row["points_micros"] if is_new else 0
                held = shares[user_id]
                held[0] += row["yes_micros"]
                held[1] += row["no_micros"]
                held[2] += 0 if is_new else row["yes_micros"]
                held[3] += 0 if is_new else row["no_micros"]
        prices = [message.content for message in world.of(Topic.PRICE_UPDATES, market_id)]
        old = [price for price in prices if from_rfc3339(price["time"]) < since]
        now = prices[-1]["probability_micros"]
        then = old[-1]["probability_micros"] if old else 0
        for user_id, (yes, no, yes_then, no_then) in shares.items():
            profits[user_id] += (yes * now + no * (10**6 - now)) // 10**6
            profits[user_id] -= (yes_then * then + no_then * (10**6 - then)) // 10**6
    return dict(profits)


@pytest.mark.parametrize("hours_before", [0, 1, 24, 8_760])
async def test_calibration_judges_the_price_in_force_before_the_decision(
    world: World, hours_before: int
) -> None:
    forecasts = []
    for market_id, outcome in world.decided.items():
        decision = next(
            message
            for message in world.of(Topic.MARKET_EVENTS, market_id)
            if message.content["kind"] == "RESOLVE_MARKET"
        )
        at = from_rfc3339(decision.content["time"]) - hours_before * calibration.HOUR_MICROS
        prices = [m for m in world.of(Topic.PRICE_UPDATES, market_id) if m.seq < decision.seq]
        before = [m for m in prices if from_rfc3339(m.content["time"]) <= at]
        price = (before or prices[:1])[-1].content["probability_micros"]
        forecasts.append((outcome is Verdict.YES, price))
    found = await calibration.calibration(world.clickhouse, hours_before)
    assert found == calibration.judged(forecasts)
    assert found.markets == 3


def test_a_brier_score_is_the_mean_of_squared_errors() -> None:
    perfect = calibration.judged([(True, 1_000_000), (False, 0)])
    coin = calibration.judged([(True, 500_000), (False, 500_000)])
    mixed = calibration.judged([(True, 900_000), (False, 300_000)])
    assert (perfect.brier_micros, coin.brier_micros, mixed.brier_micros) == (0, 250_000, 50_000)
    assert [(b.markets, b.resolved_yes) for b in mixed.bins if b.markets] == [(1, 0), (1, 1)]
    assert calibration.judged([]).brier_micros == 0
