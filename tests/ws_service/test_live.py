"""The live feed on a real NATS: chains, gaps, merging, limits."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from nats.js.api import StreamConfig

from predmarket.order.v1 import order_pb2
from tests.processes import SIDE_BY_SIDE
from tests.ws_service.support import Live, Servers, run_live

BID = [order_pb2.Level(price_micros=630_000, quantity_micros=120_000_000)]


def trade(number: int) -> dict[str, Any]:
    return {
        "trade_id": str(number),
        "market_id": "0190a000-0000-7000-8000-000000000001",
        "seq": number,
        "venue": "POOL",
        "kind": "POOL",
        "outcome": "YES",
        "taker_side": "BUY",
        "price_micros": 1,
        "quantity_micros": 1,
        "time": number,
    }


async def test_a_reader_gets_a_snapshot_then_a_chain_of_deltas(live: Live, market: str) -> None:
    live.books.put(market, seq=5, bids=BID)
    reader = await live.connect()
    assert await reader.subscribe("book", market) == {
        "type": "subscribed",
        "id": 1,
        "channel": "book",
        "market_ids": [market],
    }
    assert (await reader.book())["bids"] == [[630_000, 120_000_000]]
    await live.change(market, 5, 6, [640_000, 7, "ask"])
    assert (await reader.book())["asks"] == [[640_000, 7]]
    await live.change(market, 4, 6, [640_000, 9, "ask"])  # repeated: changes nothing
    await live.change(market, 6, 8, [630_000, 0, "bid"])
    frame = await reader.book()
    assert (frame["bids"], frame["asks"], frame["seq"]) == ([[630_000, 0]], [], 8)
    assert live.books.reads <= SIDE_BY_SIDE


async def test_a_gap_is_answered_with_a_fresh_book(live: Live, market: str) -> None:
    live.books.put(market, seq=5)
    reader = await live.connect()
    await reader.subscribe("book", market)
    await reader.book()
    live.books.put(market, seq=9, bids=BID)
    await live.change(market, 7, 9, [640_000, 7, "ask"])
    frame = await reader.book()
    assert (frame["type"], frame["seq"], frame["bids"]) == ("book.snapshot", 9, [[630_000, 120_000_000]])


async def test_another_owner_means_a_fresh_book(live: Live, market: str) -> None:
    live.books.put(market, seq=5)
    reader = await live.connect()
    await reader.subscribe("book", market)
    await reader.book()
    live.books.put(market, seq=6, epoch=2)
    await live.change(market, 5, 6, epoch=2)
    frame = await reader.book()
    assert (frame["type"], frame["epoch"]) == ("book.snapshot", 2)


async def test_changes_are_merged_and_the_first_goes_at_once(servers: Servers, market: str) -> None:
    async with run_live(servers, merge_seconds=0.5) as live:
        live.books.put(market, seq=0)
        reader = await live.connect()
        await reader.subscribe("book", market)
        await reader.book()
        started = time.monotonic()
        await live.change(market, 0, 1, [10_000, 1, "bid"])
        await reader.book()
        assert time.monotonic() - started < 0.4
        for seq in range(2, 12):
            await live.change(market, seq - 1, seq, [10_000, seq, "bid"])
        frame = await reader.book()
        assert (frame["prev_seq"], frame["seq"], frame["bids"]) == (1, 11, [[10_000, 11]])
        assert time.monotonic() - started >= 0.45


async def test_every_trade_comes_once_and_lost_ones_are_read_from_the_stream(
    private_nats: Any, redis_server: Any, market: str
) -> None:
    async with run_live(Servers(private_nats.url, redis_server.url)) as live:
        stream = live.bus.jetstream()
        await stream.add_stream(StreamConfig(name="MARKET_EVENTS", subjects=["market.>"]))
        live.books.put(market, seq=9, last_trade_seq=3)
        # Published before the service listens: in the stream, but never heard.
        await live.publish(market, "trade", prev_seq=1, seq=3, trades=[trade(3)])
        await live.publish(market, "trade", prev_seq=3, seq=5, trades=[trade(4), trade(5)])
        reader = await live.connect()
        await reader.subscribe("trades", market)
        await live.bus.publish(f"market.{market}.trade", b"")  # not a message: reported, and nothing ends
        for _ in range(2):
            await live.publish(market, "trade", prev_seq=5, seq=6, trades=[trade(6)])
        assert [(await reader.next())["trade_id"] for _ in range(3)] == ["4", "5", "6"]
        await live.publish(market, "trade", prev_seq=8, seq=9, trades=[trade(9)])
        frame = await reader.next(seconds=10)
        assert (frame["type"], frame["code"]) == ("error", "RESUME_UNAVAILABLE")
        assert (await reader.next())["trade_id"] == "9"


async def test_status_comes_first_as_it_is_then_as_it_changes(live: Live, market: str) -> None:
    live.books.put(market, seq=5)
    reader, everything = await live.connect(), await live.connect()
    await reader.subscribe("status", market)
    await everything.subscribe("status", "*")
    assert (await reader.next())["status"] == "ACTIVE"
    fields = {"status": "RESOLVED", "reason": "x", "outcome": "YES", "closes_at": 1_700_000_000_000_000}
    for _ in range(2):
        await live.publish(market, "status", market_id=market, seq=6, time=6, **fields)
    for follower in (reader, everything):
        frame = await follower.next()
        assert (frame["type"], frame["outcome"], frame["closes_at"]) == (
            "status",
            "YES",
            "2023-11-14T22:13:20.000000Z",
        )
        await follower.send(cmd="ping", id="p")
        assert (await follower.next())["id"] == "p"


async def test_the_other_commands(live: Live, market: str) -> None:
    live.books.put(market, seq=5)
    reader = await live.connect()
    await reader.subscribe("book", market)
    await reader.book()
    await reader.send(cmd="snapshot", market_ids=[market])
    assert (await reader.book())["type"] == "book.snapshot"
    await reader.send(cmd="list", id=2)
    assert (await reader.next())["subscriptions"] == [{"channel": "book", "market_id": market}]
    await reader.send(cmd="unsubscribe", id=3, channel="book", market_ids=[market])
    assert (await reader.next())["type"] == "unsubscribed"
    await reader.send(cmd="snapshot", id=4, market_ids=[market])
    frame = await reader.next()
    assert (frame["type"], frame["id"], frame["code"]) == ("error", 4, "INVALID_ARGUMENT")
    await live.change(market, 5, 6, [10_000, 1, "bid"])
    await reader.send(cmd="ping", id=5)
    assert (await reader.next())["type"] == "pong"


async def test_an_unknown_market_is_refused_and_nothing_followed(live: Live, market: str) -> None:
    live.books.put(market, seq=5)
    reader = await live.connect()
    frame = await reader.subscribe("book", market, "0190a000-0000-7000-8000-000000000404")
    assert (frame["type"], frame["code"]) == ("error", "MARKET_NOT_FOUND")
    await reader.send(cmd="list", id=2)
    assert (await reader.next())["subscriptions"] == []


async def test_who_talks_too_much_or_too_big_or_in_binary_is_closed(live: Live) -> None:
    talker, big, binary = await live.connect(), await live.connect(), await live.connect()
    for _ in range(11):
        await talker.send(cmd="ping")
    await big.socket.send_str("x" * (32 * 1024 + 1))
    await binary.socket.send_bytes(b"{}")
    assert await talker.closed_with() == 4029
    assert await big.closed_with() == 1009
    assert await binary.closed_with() == 1008


async def test_who_subscribes_to_nothing_is_closed(servers: Servers) -> None:
    async with run_live(servers, first_command_seconds=0.2) as live:
        assert await (await live.connect()).closed_with() == 1008


async def test_subscriptions_are_limited(servers: Servers, market: str) -> None:
    async with run_live(servers, subscriptions_max=1) as live:
        live.books.put(market)
        reader = await live.connect()
        await reader.subscribe("trades", market)
        frame = await reader.subscribe("book", market)
        assert (frame["type"], frame["code"]) == ("error", "INVALID_ARGUMENT")


async def test_foreign_pages_other_protocols_and_plain_requests_are_refused(live: Live) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await live.connect(origin="https://elsewhere.example")
    assert refused.value.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await live.connect(protocols=("other.v1",))
    assert refused.value.status == 400
    async with live.http.get(live.url) as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (400, "MALFORMED_REQUEST")
    await (await live.connect(origin="http://localhost:8080")).socket.close()


async def test_heartbeats_come_and_a_shutdown_says_goodbye(servers: Servers) -> None:
    async with run_live(servers, heartbeat_seconds=0.1) as live:
        reader = await live.connect()
        await reader.until("heartbeat")
        closing = asyncio.create_task(live.stack.aclose())
        assert (await reader.until("goaway"))["reconnect_after_ms"] >= 0
        assert await reader.closed_with() == 1001
        await closing


async def test_a_slow_reader_is_closed_and_slows_nobody(live: Live, market: str) -> None:
    live.books.put(market, seq=0)
    slow, quick = await live.connect(), await live.connect()
    await slow.subscribe("trades", market)
    await quick.subscribe("trades", market)
    transport: Any = slow.socket._response.connection.transport  # type: ignore[union-attr]
    transport.pause_reading()
    padding = "x" * 20_000  # in the trades' ids
    for seq in range(1, 600):
        rows = [{**trade(seq), "trade_id": f"{seq} {padding}"}]
        await live.publish(market, "trade", prev_seq=seq - 1, seq=seq, trades=rows)
        assert (await quick.next())["seq"] == seq
    transport.resume_reading()
    assert await slow.closed_with(seconds=10) == 4008


async def test_a_slow_reader_of_a_book_gets_one_fresh_snapshot(servers: Servers, market: str) -> None:
    async with run_live(servers, merge_seconds=0.001) as live:
        live.books.put(market, seq=0)
        slow, quick = await live.connect(), await live.connect()
        await slow.subscribe("book", market)
        await quick.subscribe("book", market)
        await slow.book()
        await quick.book()
        transport: Any = slow.socket._response.connection.transport  # type: ignore[union-attr]
        transport.pause_reading()
        for seq in range(1, 400):
            await live.change(market, seq - 1, seq, *([price * 1_000, seq, "bid"] for price in range(1, 999)))
            while quick.seq < seq:
                await quick.book()
        transport.resume_reading()
        frames = 0
        while slow.seq < 399:
            await slow.book()
            frames += 1
        assert frames < 399
        assert slow.bids == quick.bids
