"""Own events and tickers, and what a stream does when the live feed is killed under it."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from predmarket_client import Client, Gap, limit, market, micros
from predmarket_client.stream.feeds import Feed, LatestFeed
from predmarket_client.stream.frames import frame_of
from tests.client.support import Clients, open_market
from tests.client.test_stream import check_equal, until
from tests.ws_service.process import WsProcess, ws_process

WAIT_SECONDS = 20


@pytest.fixture
async def process(clients: Clients) -> AsyncIterator[WsProcess]:
    """One more ws_service beside the suite's, to be killed."""
    async with ws_process(clients.suite.shared) as running:
        yield running


async def take(feed: Feed[Any], count: int) -> list[Any]:
    found: list[Any] = []
    async with asyncio.timeout(WAIT_SECONDS):
        async for frame in feed:
            found.append(frame)
            if len(found) == count:
                break
    return found


async def until_at(feed: Feed[Any], user_seq: int) -> list[Any]:
    """Everything up to that number."""
    found: list[Any] = []
    async with asyncio.timeout(WAIT_SECONDS):
        async for frame in feed:
            found.append(frame)
            if not isinstance(frame, Gap) and frame.user_seq >= user_seq:
                break
    return found


async def latest(feed: LatestFeed, seq: int) -> Any:
    async with asyncio.timeout(WAIT_SECONDS):
        async for ticker in feed:
            if ticker.seq >= seq:
                return ticker


def check_gapless(frames: list[Any], first: int) -> None:
    assert [frame.user_seq for frame in frames] == list(range(first, first + len(frames)))


async def test_own_events_are_orders_fills_balances_and_positions(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    async with ann.stream(ws_url=clients.suite.ws_url) as stream:
        own = await stream.own()
        placed = await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(10)))
        frames = await take(own, 4)
        order, fill, position, balance = frames
        portfolio = await ann.portfolio.get()
        check_gapless(frames, portfolio.user_seq - 3)
        assert (order.order_id, order.status, order.seq) == (placed.order_id, "FILLED", placed.seq)
        assert (fill.order_id, fill.liquidity, fill.quantity_micros) == (
            placed.order_id,
            "TAKER",
            placed.filled_micros,
        )
        assert position.yes_micros == placed.filled_micros
        assert balance.available_micros == portfolio.available_micros


async def test_events_before_a_subscription_are_told_again(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    before = (await ann.portfolio.get()).user_seq
    for _ in range(5):
        await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
    after = (await ann.portfolio.get()).user_seq
    async with ann.stream(ws_url=clients.suite.ws_url) as stream:
        frames = await until_at(await stream.own(since_user_seq=before), after)
        check_gapless(frames, before + 1)


async def test_a_resume_from_nowhere_shows_a_gap(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
    async with ann.stream(ws_url=clients.suite.ws_url) as stream:
        own = await stream.own(since_user_seq=10**6)
        await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
        gap, first = await take(own, 2)
        assert gap == Gap("RESUME_UNAVAILABLE")
        assert first.order_id


async def test_nobody_sees_the_events_of_others(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann, bob = await clients("ann"), await clients("bob")
    url = clients.suite.ws_url
    async with ann.stream(ws_url=url) as hers, bob.stream(ws_url=url) as his:
        own, others = await hers.own(), await his.own()
        resting = limit("BUY", "YES", market_id, price_micros=400_000, quantity_micros=micros(5))
        placed = await ann.orders.place(resting)
        assert (await take(own, 1))[0].order_id == placed.order_id
        bobs = await bob.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
        assert (await take(others, 1))[0].order_id == bobs.order_id


async def test_tickers_tell_what_happens(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    async with ann.stream(ws_url=clients.suite.ws_url) as stream:
        one, every = await stream.ticker(market_id), await stream.ticker()
        await ann.orders.place(
            limit("BUY", "YES", market_id, price_micros=400_000, quantity_micros=micros(5))
        )
        placed = await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(10)))
        truth = await ann.markets.get(market_id)
        for feed in (one, every):
            ticker = await latest(feed, placed.seq)
            assert ticker.probability_micros == truth.probability_micros
            assert (ticker.best_bid_micros, ticker.best_ask_micros, ticker.mid_micros) == (
                500_000,  # of book and pool together: the order at 0.40 is behind the pool
                510_000,
                505_000,
            )
            assert ticker.last_price_micros is not None
            assert ticker.open_interest_micros >= micros(1_000)
            assert ticker.change_24h_micros == truth.probability_micros - 500_000  # where the market began
            assert ticker.volume_24h_micros == truth.volume_micros > 0


async def test_a_killed_live_feed_costs_no_event(admin: Client, clients: Clients, process: WsProcess) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    start = (await ann.portfolio.get()).user_seq
    async with ann.stream(ws_url=process.url) as stream:
        own, book = await stream.own(), await stream.book(market_id)
        trades, ticker = await stream.trades(market_id), await stream.ticker(market_id)
        for _ in range(3):
            for _ in range(4):
                await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
            await process.end(signal.SIGKILL)
            await until(lambda: not book.is_current)
            await ann.orders.place(
                limit("BUY", "YES", market_id, price_micros=300_000, quantity_micros=micros(5))
            )
            await process.start()
        frames = await until_at(own, (await ann.portfolio.get()).user_seq)  # asked for last: all is followed
        last = await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
        await until(lambda: book.seq >= last.seq)
        await check_equal(ann, book)
        frames += await until_at(own, (await ann.portfolio.get()).user_seq)
        check_gapless(frames, start + 1)
        assert (await latest(ticker, last.seq)).market_id == market_id
        heard = []
        async with asyncio.timeout(WAIT_SECONDS):
            async for trade in trades:
                heard.append(trade)
                if not isinstance(trade, Gap) and trade.seq == last.seq:
                    break
        assert Gap("RECONNECTED") in heard


async def test_a_live_feed_that_stops_in_order_sends_its_clients_away(
    admin: Client, clients: Clients, process: WsProcess
) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    async with ann.stream(ws_url=process.url) as stream:
        own, book = await stream.own(), await stream.book(market_id)
        assert await process.end(signal.SIGTERM) == 0
        await process.start()
        last = await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
        await until(lambda: book.seq >= last.seq, seconds=30)
        frames = await until_at(own, (await ann.portfolio.get()).user_seq)
        assert {frame.user_seq for frame in frames if not isinstance(frame, Gap)}
        assert not [frame for frame in frames if isinstance(frame, Gap)]


async def test_a_slow_reader_of_own_events_misses_none(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    start = (await ann.portfolio.get()).user_seq
    async with ann.stream() as stream:
        own, book = await stream.own(frames_max=3), await stream.book(market_id)
        for _ in range(10):
            last = await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
        await until(
            lambda: book.seq >= last.seq
        )  # and nobody has read the events, far more than the feed holds
        check_gapless(await until_at(own, (await ann.portfolio.get()).user_seq), start + 1)


async def test_own_events_go_on_when_tokens_expire(admin_of_short: Client, short_lived: Clients) -> None:
    """The socket is closed with 4001 when the token it began with is over; the next one shows a newer."""
    market_id = await open_market(admin_of_short)
    ann = await short_lived("ann")
    start = (await ann.portfolio.get()).user_seq
    async with ann.stream() as stream:
        own = await stream.own()
        async with asyncio.timeout(60):
            while stream.connections < 3:
                await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
                await asyncio.sleep(0.2)
        await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
        check_gapless(await until_at(own, (await ann.portfolio.get()).user_seq), start + 1)


async def test_news_of_missing_events_reach_the_feed_they_are_about(admin: Client, clients: Clients) -> None:
    first, second = await open_market(admin), await open_market(admin)
    ann = await clients("ann")
    async with ann.stream() as stream:
        own, trades, others = await stream.own(), await stream.trades(first), await stream.trades(second)
        for about in ({"channel": "user"}, {"channel": "trades", "market_id": first}):
            text = {"type": "error", "code": "RESUME_UNAVAILABLE", "message": "", "retryable": False, **about}
            stream._take(frame_of(json.dumps(text)))
        placed = await ann.orders.place(market("BUY", "YES", second, amount_micros=micros(1)))
        assert await take(trades, 1) == [Gap("RESUME_UNAVAILABLE")]
        assert [trade.seq for trade in await take(others, 1)] == [placed.seq]
        gap, order = await take(own, 2)
        assert (gap, order.order_id) == (Gap("RESUME_UNAVAILABLE"), placed.order_id)
