"""The bus restarts, or forgets everything; two processes serve side by side."""

import asyncio
import os
import shutil
import signal
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from nats.js.api import StreamConfig

from tests.processes import pause
from tests.ws_service.support import Live, Reader, Servers, ensure_user_events, run_live

AWAY_SECONDS = 60


@pytest.fixture
def user() -> str:
    return str(uuid.uuid4())


@pytest.fixture
async def alone(private_nats: Any, redis_server: Any) -> AsyncIterator[Live]:
    """On a bus that may be killed."""
    async with run_live(Servers(private_nats.url, redis_server.url)) as running:
        await ensure_streams(running)
        yield running


async def ensure_streams(live: Live) -> None:
    await ensure_user_events(live)
    await live.bus.jetstream().add_stream(StreamConfig(name="MARKET_EVENTS", subjects=["market.>"]))


async def followers(live: Live, market: str, user: str) -> dict[str, Reader]:
    """One per channel, past what comes first."""
    live.books.put(market, seq=1, last_trade_seq=1)
    await live.tell(user, 1)
    found = {}
    for channel in ("book", "trades", "ticker", "status"):
        found[channel] = await live.connect()
        await found[channel].subscribe(channel, market)
        if channel != "trades":
            await found[channel].next()
    found["user"] = await live.connect()
    await found["user"].log_in(await live.ticket(user))
    await found["user"].own()
    return found


def trade(seq: int, market: str) -> dict[str, Any]:
    return {
        "trade_id": str(seq),
        "market_id": market,
        "seq": seq,
        "venue": "BOOK",
        "kind": "MINT",
        "outcome": "YES",
        "taker_side": "BUY",
        "price_micros": 1,
        "quantity_micros": 1,
        "time": seq,
    }


async def happen(live: Live, market: str, user: str, seq: int) -> None:
    """A book, a trade, a status and an own event, all in the streams."""
    live.books.put(market, seq=seq, last_trade_seq=seq)
    live.books.figures[market] = {"probability_micros": 500_000, "collateral_micros": seq}
    await live.change(market, seq - 1, seq, collateral_micros=seq)
    rows = [trade(seq, market)]
    await live.publish(market, "trade", prev_seq=seq - 1, seq=seq, trades=rows)
    status = {"market_id": market, "seq": seq, "time": seq, "status": "PAUSED", "closes_at": 0}
    await live.publish(market, "status", reason="", outcome="", **status)
    await live.tell(user, seq)


async def check_heard(found: dict[str, Reader], seq: int) -> None:
    """Everybody comes to know of it; nothing but the book and the ticker may come more than once."""
    for channel, reader in found.items():
        frame = await reader.next(AWAY_SECONDS)
        while channel in ("book", "ticker") and frame["seq"] < seq:
            frame = await reader.next(AWAY_SECONDS)
        assert frame.get("user_seq", frame["seq"]) == seq, (channel, frame)


async def test_what_happens_while_the_bus_restarts_is_told(
    alone: Live, private_nats: Any, market: str, user: str
) -> None:
    found = await followers(alone, market, user)
    private_nats.kill()
    private_nats.start()
    other = await nats.connect(private_nats.url)
    heard, alone.bus = alone.bus, other  # the service may come back later than who publishes
    await happen(alone, market, user, 2)
    await check_heard(found, 2)
    await happen(alone, market, user, 3)
    await check_heard(found, 3)
    alone.bus = heard
    await other.close()


async def test_a_bus_that_forgot_everything_goes_on(
    alone: Live, private_nats: Any, market: str, user: str
) -> None:
    found = await followers(alone, market, user)
    private_nats.kill()
    shutil.rmtree(private_nats.data_dir)
    private_nats.start()
    heard, alone.bus = alone.bus, await nats.connect(private_nats.url)
    await ensure_streams(alone)
    await happen(alone, market, user, 2)
    await check_heard(found, 2)
    late = await alone.connect()
    await late.log_in(await alone.ticket(user))
    frame = await late.own(0)  # the first event is gone
    assert (frame["type"], frame["code"]) == ("error", "RESUME_UNAVAILABLE")
    assert (await late.own(2))["user_seq"] == 2
    await alone.bus.close()
    alone.bus = heard


async def test_two_processes_tell_the_same(servers: Servers, market: str, user: str) -> None:
    async with run_live(servers) as one, run_live(servers) as two:
        await ensure_user_events(one)
        readers = []
        two.books.put(market, seq=1)
        for live in (one, two):
            live.books.put(market, seq=1)
            reader = await live.connect()
            await reader.log_in(await one.ticket(user))
            await reader.subscribe("book", market)
            await reader.book()
            await reader.own(0)
            readers.append(reader)
        await one.tell(user, 1)
        assert [(await reader.next())["user_seq"] for reader in readers] == [1, 1]
        await one.change(market, 1, 2, [10_000, 1, "bid"])
        frames = [await reader.book() for reader in readers]
        assert frames[0] == frames[1]


async def test_a_ticket_is_good_once_for_all_processes(servers: Servers, user: str) -> None:
    async with run_live(servers) as one, run_live(servers) as two:
        ticket = await one.ticket(user)
        readers = [await (one, two)[number % 2].connect() for number in range(10)]
        answers = await asyncio.gather(*(reader.log_in(ticket) for reader in readers))
        assert sorted(answer["type"] for answer in answers) == ["authenticated"] + ["error"] * 9


async def test_a_bus_that_hangs_is_said_to_be_away_and_loses_nothing(
    alone: Live, private_nats: Any, market: str, user: str
) -> None:
    found = await followers(alone, market, user)
    other = str(uuid.uuid4())
    alone.books.put(other, seq=1)
    late = await alone.connect()
    pause(private_nats.pid)
    try:
        began = time.monotonic()
        frame = await late.subscribe("book", other)
        print(f"refused after {time.monotonic() - began:.1f} s")
        assert (frame["type"], frame["code"], frame["retryable"]) == ("error", "UNAVAILABLE", True)
    finally:
        os.kill(private_nats.pid, signal.SIGCONT)
    await happen(alone, market, user, 2)
    await check_heard(found, 2)
    assert (await late.subscribe("book", other))["type"] == "subscribed"


async def test_who_leaves_and_who_comes_while_the_bus_is_away(
    alone: Live, private_nats: Any, market: str, user: str
) -> None:
    """Nothing ends by it but what they followed; what stays is looked at anew when the bus is back."""
    found = await followers(alone, market, user)
    other = str(uuid.uuid4())
    alone.books.put(other, seq=1)
    leaving = await alone.connect()
    await leaving.subscribe("book", other)
    await leaving.book()
    await leaving.subscribe("ticker", "*")
    private_nats.kill()
    for channel, name in (("book", other), ("ticker", "*")):
        await leaving.send(id=2, cmd="unsubscribe", channel=channel, market_ids=[name])
        assert (await leaving.next())["type"] == "unsubscribed"
    await asyncio.sleep(0.3)  # some ticks, in which their feeds end
    frame = await leaving.subscribe("trades", other)
    assert frame["type"] == "subscribed" or (frame["code"], frame["retryable"]) == ("UNAVAILABLE", True)
    private_nats.start()
    publisher = await nats.connect(private_nats.url)
    heard, alone.bus = alone.bus, publisher
    await happen(alone, market, user, 2)
    await check_heard(found, 2)
    async with asyncio.timeout(AWAY_SECONDS):
        while (await leaving.subscribe("book", other))["type"] != "subscribed":
            await asyncio.sleep(0.5)
    alone.bus = heard
    await publisher.close()
