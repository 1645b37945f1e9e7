"""The live feed on running services: books under load and loss, trades, status, reconnection."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from predmarket_client import ApiError, Client, Gap, LiveBook, Stream, limit, market, micros
from tests.client.support import Clients, open_market

LOAD_STEPS = 60


class LossyLine:
    """Between the socket and the stream: loses, holds back and repeats a frame in five."""

    def __init__(self, stream: Stream, seed: int) -> None:
        self.is_lossy = True
        self._chance = random.Random(seed)
        self._held: list[Any] = []
        self._deliver = stream._take
        stream._take = self.take  # type: ignore[method-assign]  # where frames come in

    def take(self, frame: Any) -> None:
        luck = self._chance.random() if self.is_lossy else 0.5
        if luck < 0.07:
            return
        if luck < 0.13 and not self._held:
            self._held.append(frame)
            return
        self._deliver(frame)
        if luck > 0.93:
            self._deliver(frame)
        while self._held:
            self._deliver(self._held.pop())


async def trade_at_random(clients: list[Client], market_id: str, seed: int) -> None:
    """Rests, takes and cancels from several accounts at once."""
    chance = random.Random(seed)

    async def one(client: Client) -> None:
        for _ in range(LOAD_STEPS):
            outcome: Any = chance.choice(("YES", "NO"))
            try:
                if chance.random() < 0.7:
                    price = chance.randrange(30, 48) * 10_000
                    quantity = micros(chance.randrange(1, 20))
                    await client.orders.place(
                        limit("BUY", outcome, market_id, price_micros=price, quantity_micros=quantity)
                    )
                elif chance.random() < 0.7:
                    amount = micros(chance.randrange(1, 30))
                    await client.orders.place(
                        market("BUY", outcome, market_id, amount_micros=amount, max_slippage_bps=9_000)
                    )
                else:
                    await client.orders.cancel_all(market_id)
            except ApiError as error:
                if error.code not in {"SELF_TRADE", "NOTHING_FILLED", "TOO_MANY_OPEN_ORDERS"}:
                    raise

    await asyncio.gather(*(one(client) for client in clients))


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def check_equal(client: Client, book: LiveBook) -> None:
    """The kept book becomes the server's, number and all."""
    truth = await client.markets.book(book.market_id)
    await until(lambda: book.is_current and book.seq >= truth.seq)
    assert (book.epoch, book.seq) == (truth.epoch, truth.seq)
    assert (book.bids, book.asks, book.pool) == (truth.bids, truth.asks, truth.pool)


async def test_the_kept_book_is_the_servers_under_load(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    traders = [await clients(f"trader-{number}") for number in range(3)]
    async with traders[0].stream() as stream:
        book = await stream.book(market_id)
        await trade_at_random(traders, market_id, seed=1)
        await check_equal(traders[0], book)
        assert stream.connections == 1


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_kept_book_is_the_servers_though_frames_are_lost(
    admin: Client, clients: Clients, seed: int
) -> None:
    market_id = await open_market(admin)
    traders = [await clients(f"trader-{number}") for number in range(3)]
    unspoilt = traders[0].stream()
    line = LossyLine(unspoilt, seed)
    doubts = 0

    async def watch() -> None:
        nonlocal doubts
        while True:
            await book.changed()
            doubts += not book.is_current

    async with unspoilt as stream:
        book = await stream.book(market_id)
        watching = asyncio.create_task(watch())
        await trade_at_random(traders, market_id, seed)
        watching.cancel()
        line.is_lossy = False
        last = await traders[0].orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
        await until(lambda: book.seq >= last.seq)
        await check_equal(traders[0], book)
        assert doubts > 0


async def test_a_book_tells_when_it_changes(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    async with ann.stream() as stream:
        book = await stream.book(market_id)
        await book.changed()
        assert (book.best_bid_micros, book.best_ask_micros) == (None, None)
        await ann.orders.place(
            limit("BUY", "YES", market_id, price_micros=400_000, quantity_micros=micros(5))
        )
        await ann.orders.place(limit("BUY", "NO", market_id, price_micros=300_000, quantity_micros=micros(5)))
        async with asyncio.timeout(20):
            while (book.best_bid_micros, book.best_ask_micros) != (400_000, 700_000):
                await book.changed()
        with pytest.raises(ValueError):
            await stream.book(market_id)
        stream.close(book)
        await stream.book(market_id)


async def test_trades_and_status_come_in_order(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    async with ann.stream() as stream:
        trades, status = await stream.trades(market_id), await stream.status(market_id)
        everything = await stream.status()
        for _ in range(3):
            await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
        await admin.admin.pause(market_id)
        seqs: list[int] = []
        async for trade in trades:
            assert not isinstance(trade, Gap)
            seqs.append(trade.seq)
            if len(seqs) == 3:
                break
        assert seqs == sorted(set(seqs))
        seen = []
        async for change in status:
            assert not isinstance(change, Gap)
            seen.append(change.status)
            if len(seen) == 2:
                break
        assert seen == ["ACTIVE", "PAUSED"]
        async for change in everything:
            assert not isinstance(change, Gap)
            assert change.status == "PAUSED"
            break


async def test_an_unknown_market_is_refused_and_the_others_go_on(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    async with Client(clients.suite.url) as nobody, nobody.stream() as stream:
        unknown = stream.book("0190a000-0000-7000-8000-000000000404")
        known, refused = await asyncio.gather(stream.book(market_id), unknown, return_exceptions=True)
        assert isinstance(known, LiveBook)
        assert isinstance(refused, ApiError)
        assert refused.code == "MARKET_NOT_FOUND"
        assert known.is_current


async def test_a_full_feed_says_that_something_is_missing(admin: Client, clients: Clients) -> None:
    market_id = await open_market(admin)
    ann = await clients("ann")
    async with ann.stream() as stream:
        trades = await stream.trades(market_id, frames_max=2)
        book = await stream.book(market_id)
        for _ in range(4):
            last = await ann.orders.place(market("BUY", "YES", market_id, amount_micros=micros(1)))
        await until(lambda: book.seq >= last.seq)
        found: list[Any] = []
        async for trade in trades:
            found.append(trade)
            if isinstance(trade, Gap):
                break
        assert found[-1] == Gap("OVERFLOW")
        assert len(found) == 3
