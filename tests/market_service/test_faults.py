"""Replicas when messages are missed, the bus or the cache is away, and memory is short."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from engine.published_book import BookMessage, Figures
from launcher.embedded import NatsServer, RedisServer
from market_service.live import LiveMarket
from market_service.markets import Markets
from market_service.replicas import Replicas
from market_service.store import Store
from predmarket.market.v1 import market_pb2
from predmarket.order.v1 import order_pb2
from runtime.postgres import open_pool
from tests.market_service.support import Exchange, run_exchange, spend, until
from tests.market_service.traffic import quote_then_trade
from tests.order_service.support import POINT, Issuer, limit, new_user
from tests.servers import Database


async def a_market(exchange: Exchange) -> tuple[str, str]:
    """With a user who can trade there."""
    user = new_user()
    await exchange.orders.grant(user)
    return await exchange.orders.open_market(new_user()), user


async def place_many(exchange: Exchange, market_id: str, user: str, count: int) -> None:
    """Bids that are cancelled again, but for the last; as many events as said."""
    client_ids = [f"a-{number}" for number in range(count // 2)]
    for start in range(0, len(client_ids), 100):
        places = [
            order_pb2.OrderCommand(place=limit(market_id, 10 + number % 20, 1, client_order_id=name))
            for number, name in enumerate(client_ids[start : start + 100])
        ]
        request = order_pb2.SubmitCommandsRequest(commands=places)
        results = (await exchange.orders.ask("SubmitCommands", request, user)).results
        cancels = [
            order_pb2.OrderCommand(cancel=order_pb2.CancelOrderRequest(order_id=result.order.order_id))
            for result in results
        ]
        if start + 100 >= len(client_ids):
            cancels.pop()
        await exchange.orders.ask("SubmitCommands", order_pb2.SubmitCommandsRequest(commands=cancels), user)


@pytest.mark.parametrize("events", [40, 2_600])
async def test_a_replica_that_missed_events_is_mended_from_the_database(
    exchange: Exchange, events: int
) -> None:
    market_id, user = await a_market(exchange)
    async with open_pool(exchange.database.url_for("pm_market"), name="test", min_size=1) as pool:
        markets = Markets(Store(pool))  # no bus tells it anything
        await markets.load_all()
        before = markets.known(market_id)
        assert before is not None
        assert (before.seq, before.book.bids) == (2, {})
        await place_many(exchange, market_id, user, events)
        theirs = await exchange.orders.ask("GetBook", order_pb2.GetBookRequest(market_id=market_id), user)
        assert theirs.seq == events + 1
        await _sweeps_until(markets, before, theirs.seq)
        assert sorted(before.book.bids.items()) == [
            (level.price_micros, level.quantity_micros) for level in reversed(theirs.bids)
        ]
        await markets.stop()


async def test_new_terms_that_the_bus_did_not_tell_of_are_found(exchange: Exchange) -> None:
    admin = new_user()
    market_id = await exchange.orders.open_market(admin)
    async with open_pool(exchange.database.url_for("pm_market"), name="test", min_size=1) as pool:
        markets = Markets(Store(pool))
        await markets.load_all()
        live = markets.known(market_id)
        assert live is not None
        terms = order_pb2.MarketTerms(
            question="Will it?",
            description="Only if it does.",
            liquidity_micros=600 * POINT,
            initial_probability_micros=600_000,
        )
        edit = order_pb2.EditMarketRequest(market_id=market_id, terms=terms)
        await exchange.orders.admin("EditMarket", edit, admin)
        figures = Figures(3, 600_000, 0, live.market.collateral, 0, "ACTIVE")
        pools = (live.market.pool_yes, live.market.pool_no)
        markets.on_book(market_id, BookMessage(1, 2, 3, live.market.updated_at, {}, {}, *pools, figures))
        assert (live.seq, live.market.description) == (3, "")
        await markets.sweep()
        assert (live.seq, live.market.description) == (3, "Only if it does.")
        await markets.stop()


async def test_the_bus_away_delays_streams_and_no_read(
    issuer: Issuer, fresh_database: Database, private_nats: NatsServer, redis_server: RedisServer
) -> None:
    async with run_exchange(issuer, fresh_database, private_nats.url, redis_server.url) as exchange:
        market_id, user = await a_market(exchange)
        seen: list[market_pb2.StreamBookResponse] = []

        async def follow() -> None:
            request = market_pb2.StreamBookRequest(market_id=market_id)
            async for message in exchange.reader.stream("StreamBook", request, seconds=60):
                seen.append(message)

        async def has_seen(price: int) -> bool:
            return any(level.price_micros == price * 10_000 for each in seen for level in each.book.bids)

        following = asyncio.create_task(follow())
        await exchange.orders.ask("PlaceOrder", limit(market_id, 11, 1), user)
        await until(lambda: has_seen(11))
        private_nats.kill()
        await exchange.orders.ask("PlaceOrder", limit(market_id, 12, 1), user)
        assert (await exchange.reader.book(market_id)).bids[0].price_micros == 120_000
        await exchange.orders.ask("PlaceOrder", limit(market_id, 13, 1), user)
        await until(lambda: has_seen(13))  # by the sweep
        private_nats.start()
        await exchange.orders.ask("PlaceOrder", limit(market_id, 14, 1), user)
        await until(lambda: has_seen(14))
        chained = all(after.prev_seq == before.book.seq for before, after in itertools.pairwise(seen))
        assert chained
        following.cancel()
        await quote_then_trade(exchange, 20, 4)


async def test_redis_away_costs_reads_and_nothing_else(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer, private_redis: RedisServer
) -> None:
    async with run_exchange(issuer, fresh_database, nats_server.url, private_redis.url) as exchange:
        market_id, user = await a_market(exchange)
        assert await exchange.reader.listed() == ["Will it?"]
        private_redis.kill()
        await exchange.orders.ask("PlaceOrder", limit(market_id, 65, 10), user)
        for _ in range(2):
            assert await exchange.reader.listed() == ["Will it?"]
            assert (await exchange.reader.ticker(market_id)).volume_24h_micros == 10 * POINT
        private_redis.start()
        assert await exchange.reader.listed() == ["Will it?"]


async def test_a_process_that_starts_knows_what_was_before(exchange: Exchange) -> None:
    await quote_then_trade(exchange, 30, 9)
    async with exchange.another() as fresh:
        request = market_pb2.ListTickersRequest()
        tickers = await fresh.ask("ListTickers", request)

        async def is_the_same() -> bool:
            return bool(tickers == await exchange.reader.ask("ListTickers", request))

        await until(is_the_same)


async def test_the_market_quoted_longest_ago_makes_room(exchange: Exchange) -> None:
    users = [await a_market(exchange) for _ in range(3)]
    for market_id, user in users:
        for price in (20, 30, 40):
            await exchange.orders.ask("PlaceOrder", limit(market_id, price, 1), user)
    async with open_pool(exchange.database.url_for("pm_market"), name="test", min_size=1) as pool:
        replicas = Replicas(Store(pool), rows_max=9)  # each has three orders, and counts one itself
        for market_id, _ in users:
            replica, _ = await replicas.fresh(market_id)
            assert len(replica.state.markets[market_id].orders) == 3
            assert replicas.rows <= 9
        assert replicas.rows == 8
        alone = Replicas(Store(pool), rows_max=1)
        for market_id, _ in users:
            await alone.fresh(market_id)
            assert alone.rows == 4


async def test_callers_at_one_time_share_the_work_and_miss_nothing(exchange: Exchange) -> None:
    market_id, user = await a_market(exchange)

    async def placed_and_read(price: int) -> None:
        placed = await exchange.orders.ask("PlaceOrder", limit(market_id, price, 1), user)
        request = spend(market_id, POINT)
        book, quote = await asyncio.gather(
            exchange.reader.book(market_id), exchange.reader.ask("GetQuote", request)
        )
        assert min(book.seq, quote.valid_seq) >= placed.order.seq
        assert price * 10_000 in {level.price_micros for level in book.bids}

    await asyncio.gather(*(placed_and_read(price) for price in range(1, 41)))


async def _sweeps_until(markets: Markets, market: LiveMarket, seq: int) -> None:
    async def is_there() -> Any:
        await markets.sweep()
        return market.seq >= seq

    await until(is_there)
