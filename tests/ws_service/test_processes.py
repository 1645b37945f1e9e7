"""Processes of their own side by side: books under load on a bus that loses, a shutdown, a kill."""

import asyncio
import itertools
import random
import signal
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from predmarket.order.v1 import order_pb2
from tests.ws_service.process import WsProcess, ws_process
from tests.ws_service.support import Live, Reader, Servers, ensure_user_events, run_live

CHANGES = 400
DRAIN_SECONDS = 10

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(nats_server: Any, redis_server: Any) -> AsyncIterator[Live]:
    async with run_live(Servers(nats_server.url, redis_server.url), 1) as running:
        await ensure_user_events(running)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def processes(live: Live) -> AsyncIterator[list[WsProcess]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ws_process(live.shared)) for _ in range(2)]


class Truth:
    """An order_service's book, and how the bus tells of it: it loses, repeats and swaps one message in ten each."""

    def __init__(self, live: Live, market: str, seed: int) -> None:
        self.seq = 0
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self._live = live
        self._market = market
        self._chance = random.Random(seed)
        self._held: list[tuple[int, list[Any]]] = []
        self._put()

    async def change(self) -> None:
        levels = [self._changed_level() for _ in range(3)]
        self.seq += 1
        self._put()
        luck = self._chance.random()
        if luck < 0.1:
            return
        if luck < 0.2 and not self._held:
            self._held.append((self.seq, levels))
            return
        for _ in range(2 if luck > 0.9 else 1):
            await self._live.change(self._market, self.seq - 1, self.seq, *levels)
        for seq, held in self._held:
            await self._live.change(self._market, seq - 1, seq, *held)
        self._held.clear()

    async def last_change(self) -> None:
        """One that arrives: what was lost before is noticed by it."""
        level = self._changed_level()
        self.seq += 1
        self._put()
        await self._live.change(self._market, self.seq - 1, self.seq, level)

    def _changed_level(self) -> list[Any]:
        side, prices = self._chance.choice((("bid", range(30, 50)), ("ask", range(50, 70))))
        levels = self.bids if side == "bid" else self.asks
        price, quantity = self._chance.choice(prices) * 10_000, self._chance.choice((0, 5, 7, 9))
        levels[price] = quantity
        if not quantity:
            del levels[price]
        return [price, quantity, side]

    def _put(self) -> None:
        def levels(of: dict[int, int]) -> list[order_pb2.Level]:
            return [order_pb2.Level(price_micros=price, quantity_micros=of[price]) for price in of]

        self._live.books.put(self._market, seq=self.seq, bids=levels(self.bids), asks=levels(self.asks))


async def test_the_books_of_all_processes_equal_the_servers_though_the_bus_loses(
    live: Live, processes: list[WsProcess], market: str
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    truth = Truth(live, market, seed)
    readers = []
    for process in (*processes, *processes):
        readers.append(await live.connect(url=process.url))
        await readers[-1].subscribe("book", market)

    async def keep(reader: Reader) -> None:
        while reader.seq < CHANGES + 1:
            await reader.book()  # checks each checksum

    keeping = [asyncio.create_task(keep(reader)) for reader in readers]
    for _ in range(CHANGES):
        await truth.change()
        await asyncio.sleep(0.002)
    await truth.last_change()
    async with asyncio.timeout(60):
        await asyncio.gather(*keeping)
    for reader in readers:
        assert (reader.bids, reader.asks) == (truth.bids, truth.asks)


async def test_who_was_at_a_killed_process_goes_on_at_another(live: Live, processes: list[WsProcess]) -> None:
    user = str(uuid.uuid4())
    first, second = processes

    async def connect(process: WsProcess, since: int) -> Reader:
        reader = await live.connect(url=process.url)
        await reader.log_in(await live.ticket(user))
        await reader.own(since)
        return reader

    reader = await connect(first, 0)
    await live.tell(user, 1, "user.balance", "user.balance")
    assert [(await reader.next())["user_seq"] for _ in range(2)] == [1, 2]
    await first.end(signal.SIGKILL)
    await live.tell(user, 3)
    await live.tell(user, 4)
    reader = await connect(second, 2)
    await live.tell(user, 5)
    assert [(await reader.next())["user_seq"] for _ in range(3)] == [3, 4, 5]
    await first.start()
    reader = await connect(first, 1)
    assert [(await reader.next())["user_seq"] for _ in range(4)] == [2, 3, 4, 5]


async def test_sigterm_under_load_says_goodbye_and_ends_in_time(live: Live, market: str) -> None:
    live.books.put(market, seq=0)

    async def part(reader: Reader) -> int | None:
        await reader.until("goaway")
        return await reader.closed_with(DRAIN_SECONDS)

    async with ws_process(live.shared) as process:
        readers = [await live.connect(url=process.url) for _ in range(30)]
        for reader in readers:
            await reader.subscribe("book", market)
        parting = [asyncio.create_task(part(reader)) for reader in readers]
        began = time.monotonic()
        ending = asyncio.create_task(process.end(signal.SIGTERM))
        for seq in itertools.count(1):
            await live.change(market, seq - 1, seq, [10_000, seq, "bid"])
            await asyncio.sleep(0.01)
            if ending.done():
                break
        assert await ending == 0
        print(f"ended after {time.monotonic() - began:.1f} s")
        assert time.monotonic() - began < DRAIN_SECONDS
        assert await asyncio.gather(*parting) == [1001] * 30


async def test_clients_that_vanish_while_frames_are_written_harm_nobody(live: Live, market: str) -> None:
    """Reset by their side, many at once, in the middle of heartbeats and of a busy book; the others' chain goes on."""
    live.books.put(market, seq=0)
    fast = {"heartbeat_seconds": 0.01, "merge_seconds": 0.001, "goaway_spread_seconds": 0.1}
    async with ws_process({**live.shared, **fast}) as process:
        stays = await live.connect(url=process.url)
        await stays.subscribe("book", market)
        await stays.book()
        seq = 0
        for _ in range(4):
            for transport in [await leaving_client(live, process.url, market) for _ in range(60)]:
                transport.abort()
                seq += 1
                await live.change(market, seq - 1, seq, [10_000, seq, "bid"])
        while stays.seq < seq:
            await stays.book()
        parting = asyncio.create_task(stays.closed_with(DRAIN_SECONDS))
        assert await process.end(signal.SIGTERM) == 0
        assert await parting == 1001


async def leaving_client(live: Live, url: str, market: str) -> Any:
    """The transport of one that does not read, so that its end is told by a reset."""
    reader = await live.connect(url=url)
    transport: Any = reader.socket._response.connection.transport  # type: ignore[union-attr]
    transport.pause_reading()
    await reader.send(id=1, cmd="subscribe", channel="book", market_ids=[market])
    return transport
