"""Bounds of one process and of its sockets: how many, how slow, how fast, and how they part."""

import asyncio
import itertools
import time
from typing import Any

import aiohttp
import pytest

import ws_service.socket
from runtime.metrics import REGISTRY
from tests.ws_service.support import Live, Reader, Servers, run_live

SOCKETS = 20


def stop_reading(reader: Reader) -> Any:
    """Its transport."""
    transport: Any = reader.socket._response.connection.transport  # type: ignore[union-attr]
    transport.pause_reading()
    return transport


async def until_slow(live: Live, market: str, *quick: Reader) -> int:
    """Changes a large book until somebody is slow. The book's last event."""
    for seq in range(1, 400):
        await live.change(market, seq - 1, seq, *([price * 1_000, seq, "bid"] for price in range(1, 999)))
        for reader in quick:
            while reader.seq < seq:
                await reader.book()
        await asyncio.sleep(0.005)
        if REGISTRY.get_sample_value("ws_slow_sockets"):
            return seq
    raise AssertionError("nobody is slow")


async def follow_book(live: Live, market: str) -> Reader:
    reader = await live.connect()
    await reader.subscribe("book", market)
    await reader.book()
    return reader


async def test_ten_messages_in_a_second_are_answered(live: Live) -> None:
    reader = await live.connect()
    for number in range(10):
        await reader.send(id=number, cmd="ping")
    assert [(await reader.next())["id"] for _ in range(10)] == list(range(10))


async def test_pings_of_the_protocol_count_as_messages(live: Live) -> None:
    reader = await live.connect()
    for _ in range(11):
        await reader.socket.ping()
    assert await reader.closed_with() == 4029


async def test_one_socket_too_many_is_told_to_come_back(servers: Servers) -> None:
    async with run_live(servers, 1, sockets_max=1) as live:
        first = await live.connect()
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        async with live.http.get(live.url, headers=headers) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert (await answer.json(content_type=None))["code"] == "OVERLOADED"
        await first.socket.close()
        async with asyncio.timeout(10):
            while True:
                try:
                    await live.connect()
                    return
                except aiohttp.WSServerHandshakeError:
                    await asyncio.sleep(0.02)


async def test_who_is_slow_for_too_long_is_closed(
    servers: Servers, market: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also who follows a book only, of which nothing waits."""
    monkeypatch.setattr(ws_service.socket, "SLOW_MAX_SECONDS", 0.3)
    async with run_live(servers, 1, merge_seconds=0.001) as live:
        live.books.put(market, seq=0)
        slow, quick = await follow_book(live, market), await follow_book(live, market)
        transport = stop_reading(slow)
        seq = await until_slow(live, market, quick)
        async with asyncio.timeout(10):
            while REGISTRY.get_sample_value("ws_slow_sockets"):
                await asyncio.sleep(0.02)
        transport.resume_reading()
        assert await slow.closed_with(seconds=10) == 4008
        await live.change(market, seq, seq + 1, [1_000, 0, "bid"])
        assert (await quick.book())["seq"] == seq + 1


async def test_when_too_much_waits_for_all_together_the_one_who_adds_is_sent_away(
    servers: Servers, market: str
) -> None:
    async with run_live(servers, 1, merge_seconds=0.001, backlog_bytes=1_000) as live:
        live.books.put(market, seq=0)
        slow, quick = await follow_book(live, market), await follow_book(live, market)
        await slow.subscribe("status", "*")
        await quick.subscribe("status", "*")
        transport = stop_reading(slow)
        await until_slow(live, market, quick)
        fields = {"status": "PAUSED", "reason": "", "outcome": "", "closes_at": 0}
        for seq in range(1, 21):
            await live.publish(market, "status", market_id=market, seq=seq, time=seq, **fields)
            assert (await quick.until("status"))["seq"] == seq
        assert REGISTRY.get_sample_value("ws_backlog_bytes") == 0
        transport.resume_reading()
        assert await slow.closed_with(seconds=10) == 1013


async def test_what_the_kernel_holds_for_a_socket_is_bounded(servers: Servers, market: str) -> None:
    """A reader that stops is slow after some hundred KiB, not after the 4 MiB that the kernel would hold."""
    async with run_live(servers, 1) as live:
        slow, quick = await live.connect(), await live.connect()
        for reader in (slow, quick):
            await reader.subscribe("status", "*")
        stop_reading(slow)
        told_bytes = 0
        fields = {"status": "PAUSED", "reason": "x" * 20_000, "outcome": "", "closes_at": 0}
        while not REGISTRY.get_sample_value("ws_slow_sockets"):
            told_bytes += 20_000
            await live.publish(market, "status", market_id=market, seq=told_bytes, time=1, **fields)
            await quick.next()
    print(f"slow after {told_bytes:,} bytes")
    theirs = 2**20  # what the reader's side takes before it is full
    assert (
        told_bytes < theirs + ws_service.socket.BUFFERED_MAX_BYTES + ws_service.socket.KERNEL_BUFFER_BYTES * 2
    )


async def test_a_shutdown_spreads_those_who_come_back(servers: Servers) -> None:
    async with run_live(servers, 1, goaway_spread_seconds=1.0) as live:
        readers = [await live.connect() for _ in range(SOCKETS)]
        closing = asyncio.create_task(live.stack.aclose())

        async def part(reader: Reader) -> tuple[int, float]:
            """When it shall come back, and when it was closed."""
            wait_ms: int = (await reader.until("goaway"))["reconnect_after_ms"]
            assert await reader.closed_with() == 1001
            return wait_ms, time.monotonic()

        parted = await asyncio.gather(*(part(reader) for reader in readers))
        await closing
    assert sorted(wait_ms for wait_ms, _ in parted) == [
        1_000 * number // SOCKETS for number in range(SOCKETS)
    ]
    moments = sorted(moment for _, moment in parted)
    assert moments[-1] - moments[0] > 0.5
    assert all(later - earlier < 0.5 for earlier, later in itertools.pairwise(moments))


async def test_nobody_is_let_in_during_a_shutdown(servers: Servers) -> None:
    async with run_live(servers, 1, goaway_spread_seconds=0.5) as live:
        reader = await live.connect()
        closing = asyncio.create_task(live.stack.aclose())
        await reader.until("goaway")
        with pytest.raises(aiohttp.ClientError):
            await live.connect()
        await closing
