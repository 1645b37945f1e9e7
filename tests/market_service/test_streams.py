"""Streams of books and prices: the present first, then what changed; bounded; ended when the process stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from predmarket.market.v1 import market_pb2
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode
from tests.market_service.support import Exchange, market_settings, run_market_service, until
from tests.market_service.traffic import Traffic
from tests.order_service.support import limit, new_user

Levels = dict[int, tuple[int, int]]


class Follower:
    """Keeps a book as the contract says."""

    def __init__(self) -> None:
        self.bids: Levels = {}
        self.asks: Levels = {}
        self.seq = 0
        self.messages = 0

    def take(self, message: market_pb2.StreamBookResponse) -> None:
        if message.is_snapshot:
            self.bids, self.asks = {}, {}
        else:
            assert message.prev_seq == self.seq
        for side, levels in ((self.bids, message.book.bids), (self.asks, message.book.asks)):
            for level in levels:
                side[level.price_micros] = (level.book_micros, level.pool_micros)
                if not level.quantity_micros:
                    del side[level.price_micros]
        self.seq = message.book.seq
        self.messages += 1

    def is_like(self, book: market_pb2.GetBookResponse) -> bool:
        return (self.seq, self.bids, self.asks) == (book.seq, _levels(book.bids), _levels(book.asks))


@pytest.mark.parametrize(("depth", "merged"), [(0, False), (0, True), (3, False), (5, True)])
async def test_a_followed_book_is_the_book(exchange: Exchange, depth: int, merged: bool) -> None:
    import random

    users = [new_user() for _ in range(4)]
    for user in users:
        await exchange.orders.grant(user)
    market_id = await exchange.orders.open_market(new_user())
    follower = Follower()

    async def follow() -> None:
        request = market_pb2.StreamBookRequest(market_id=market_id, depth=depth, merged=merged)
        async for message in exchange.reader.stream("StreamBook", request, seconds=60):
            follower.take(message)

    following = asyncio.create_task(follow())
    traffic = Traffic(exchange, market_id, users, random.Random(depth))
    for _ in range(40):
        await traffic.step()
    book = await exchange.reader.book(market_id, depth=depth, merged=merged)

    async def is_there() -> bool:
        return follower.is_like(book)

    await until(is_there)
    assert 1 < follower.messages <= book.seq
    following.cancel()


async def test_prices_come_first_as_they_are_then_as_they_change(exchange: Exchange) -> None:
    ann = new_user()
    await exchange.orders.grant(ann)
    markets = [await exchange.orders.open_market(new_user()) for _ in range(2)]
    stream = exchange.reader.stream("StreamPrices", market_pb2.StreamPricesRequest(market_ids=markets))
    first = [(await anext(stream)).ticker for _ in markets]
    assert [ticker.market_id for ticker in first] == markets
    await exchange.orders.ask("PlaceOrder", limit(markets[1], 65, 20), ann)
    changed = (await anext(stream)).ticker
    assert changed.market_id == markets[1]
    assert changed == await exchange.reader.ticker(markets[1])
    deep = limit(markets[1], 10, 1)  # a level far from the best changes no figure
    await exchange.orders.ask("PlaceOrder", deep, ann)
    await exchange.orders.ask("PlaceOrder", limit(markets[0], 65, 20), ann)
    assert (await anext(stream)).ticker.market_id == markets[0]
    await stream.aclose()


async def test_a_stream_tells_of_a_market_that_pauses_and_resolves(exchange: Exchange) -> None:
    admin = new_user()
    market_id = await exchange.orders.open_market(admin)
    stream = exchange.reader.stream("StreamPrices", market_pb2.StreamPricesRequest(market_ids=[market_id]))
    assert (await anext(stream)).ticker.status == "ACTIVE"
    await exchange.orders.admin("PauseMarket", order_pb2.PauseMarketRequest(market_id=market_id), admin)
    assert (await anext(stream)).ticker.status == "PAUSED"
    resolve = order_pb2.ResolveMarketRequest(
        market_id=market_id, outcome=order_pb2.VERDICT_YES, reason="seen"
    )
    await exchange.orders.admin("ResolveMarket", resolve, admin)
    assert (await anext(stream)).ticker.status == "RESOLVED"
    await stream.aclose()


async def test_one_stream_too_many_is_refused(exchange: Exchange) -> None:
    market_id = await exchange.orders.open_market(new_user())
    request = market_pb2.StreamBookRequest(market_id=market_id)
    async with exchange.another(streams_max=1) as reader:
        first = reader.stream("StreamBook", request)
        assert (await anext(first)).is_snapshot
        assert await _refusal(reader.stream("StreamBook", request)) is ErrorCode.OVERLOADED
        await first.aclose()

        async def is_free() -> bool:
            stream = reader.stream("StreamBook", request)
            try:
                return (await anext(stream)).is_snapshot  # type: ignore[no-any-return]
            except ApiError:
                return False
            finally:
                await stream.aclose()

        await until(is_free)


async def test_streams_end_when_the_process_stops(exchange: Exchange) -> None:
    market_id = await exchange.orders.open_market(new_user())
    fields = market_settings(exchange.database, exchange.nats_url, exchange.redis_url, exchange.issuer)
    async with run_market_service(exchange.issuer, fields) as reader:
        stream = reader.stream("StreamBook", market_pb2.StreamBookRequest(market_id=market_id))
        await anext(stream)
        refused = asyncio.create_task(_refusal(stream))
        await asyncio.sleep(0)
    assert await refused is ErrorCode.UNAVAILABLE


BAD_STREAMS: tuple[tuple[str, Any, ErrorCode], ...] = (
    ("StreamBook", market_pb2.StreamBookRequest(market_id="x"), ErrorCode.INVALID_ARGUMENT),
    ("StreamBook", market_pb2.StreamBookRequest(market_id=new_user()), ErrorCode.MARKET_NOT_FOUND),
    (
        "StreamBook",
        market_pb2.StreamBookRequest(market_id=new_user(), depth=1_001),
        ErrorCode.INVALID_ARGUMENT,
    ),
    ("StreamPrices", market_pb2.StreamPricesRequest(), ErrorCode.INVALID_ARGUMENT),
    ("StreamPrices", market_pb2.StreamPricesRequest(market_ids=["x"]), ErrorCode.INVALID_ARGUMENT),
    ("StreamPrices", market_pb2.StreamPricesRequest(market_ids=[new_user()]), ErrorCode.MARKET_NOT_FOUND),
    (
        "StreamPrices",
        market_pb2.StreamPricesRequest(market_ids=[new_user() for _ in range(201)]),
        ErrorCode.INVALID_ARGUMENT,
    ),
)


async def test_what_no_stream_takes_is_refused(exchange: Exchange) -> None:
    for method, request, code in BAD_STREAMS:
        assert await _refusal(exchange.reader.stream(method, request)) is code, request


async def _refusal(stream: AsyncIterator[Any]) -> ErrorCode | None:
    try:
        async for _ in stream:
            pass
    except ApiError as error:
        return error.code
    return None


def _levels(levels: Any) -> Levels:
    return {level.price_micros: (level.book_micros, level.pool_micros) for level in levels}
