"""WatchBook: a snapshot, then deltas that lead to the same book, however slowly they are read."""

import asyncio
import random
from typing import Any

import pytest

from order_service.watchers import WATCHERS_MAX, Watchers
from predmarket.order.v1 import order_pb2
from runtime.errors import ApiError, ErrorCode, from_rpc_error
from tests.order_service.support import Client, limit, new_user


class Watched:
    """A reader's book, kept from the messages alone."""

    def __init__(self) -> None:
        self.seq = -1
        self.messages = 0
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    def apply(self, message: order_pb2.WatchBookResponse) -> None:
        if message.is_snapshot:
            self.bids, self.asks = {}, {}
        else:
            assert message.prev_seq == self.seq
        for levels, changes in ((self.bids, message.bids), (self.asks, message.asks)):
            for level in changes:
                if level.quantity_micros:
                    levels[level.price_micros] = level.quantity_micros
                else:
                    del levels[level.price_micros]
        self.seq = message.seq
        self.messages += 1


def watch(client: Client, market_id: str, seconds: float = 60) -> Any:
    return client.stub("OrderService").WatchBook(
        order_pb2.WatchBookRequest(market_id=market_id), timeout=seconds
    )


async def follow(stream: Any, watched: Watched) -> None:
    while True:
        watched.apply(await stream.read())


async def trade_at_random(client: Client, market_id: str, user: str, times: int, seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(times):
        if chance.random() < 0.2:
            await client.ask("CancelAllOrders", order_pb2.CancelAllOrdersRequest(market_id=market_id), user)
        else:
            order = limit(market_id, chance.randint(10, 70), chance.randint(1, 5))
            await client.ask("PlaceOrder", order, user)


@pytest.mark.parametrize("slow", [False, True])
async def test_snapshot_and_deltas_are_the_servers_book(client: Client, slow: bool) -> None:
    market_id, user = await client.open_market(new_user()), new_user()
    await client.grant(user)
    stream, watched = watch(client, market_id), Watched()
    watched.apply(await stream.read())
    first_seq = watched.seq
    if slow:  # nothing is read until everything has happened
        await trade_at_random(client, market_id, user, 60, seed=7)
    reading = asyncio.create_task(follow(stream, watched))
    if not slow:
        await trade_at_random(client, market_id, user, 60, seed=7)
    book = await client.ask("GetBook", order_pb2.GetBookRequest(market_id=market_id), user)
    async with asyncio.timeout(30):
        while watched.seq < book.seq and not reading.done():
            await asyncio.sleep(0.02)
    stream.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert watched.bids == {level.price_micros: level.quantity_micros for level in book.bids}
    assert watched.asks == {level.price_micros: level.quantity_micros for level in book.asks}
    assert 1 < watched.messages <= book.seq - first_seq + 1


async def test_what_cannot_be_watched_is_refused_at_once(client: Client) -> None:
    for market_id, code in (
        ("0190a000-0000-7000-8000-000000000001", ErrorCode.MARKET_NOT_FOUND),
        ("x", ErrorCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(Exception) as caught:
            await watch(client, market_id).read()
        assert from_rpc_error(caught.value).code is code  # type: ignore[arg-type]


async def test_watchers_that_left_are_forgotten(client: Client) -> None:
    market_id = await client.open_market(new_user())
    for _ in range(WATCHERS_MAX + 10):
        stream = watch(client, market_id)
        assert (await stream.read()).is_snapshot
        stream.cancel()


def test_more_watchers_than_a_process_takes_are_refused() -> None:
    watchers = Watchers()
    held = [watchers.watching("m") for _ in range(WATCHERS_MAX)]
    for each in held:
        each.__enter__()
    with pytest.raises(ApiError) as caught, watchers.watching("m"):
        pass
    assert caught.value.code is ErrorCode.OVERLOADED
    held[0].__exit__(None, None, None)
    with watchers.watching("m") as waker:
        watchers.committed(())
        assert waker.is_set()
