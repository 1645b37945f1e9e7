"""Bounds of a query and of all queries; whoever goes, or may not ask any more, ends what they asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import aiohttp
import pytest
from chdb.state.sqlitelike import Connection

from analytics.analysts.sessions import Bounds
from analytics.analysts.turns import TurnLimits
from analytics.clickhouse import ClickHouse
from tests.analytics.analysts.conftest import TRADES, Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAVY = "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"
SECONDS_MAX = 4
BATCHES = 20


@pytest.fixture(scope="module")
def bounds() -> Bounds:
    return Bounds(
        seconds_max=SECONDS_MAX,
        memory_max_bytes=200_000_000,
        result_rows_max=5_000,
        result_max_bytes=1_000_000,
        read_rows_max=10**15,
    )


@pytest.fixture(scope="module")
def turns() -> TurnLimits:
    return TurnLimits(
        running_max=2, waiting_max=2, wait_seconds=1.0, per_user_max=3, user_seconds_per_hour=1e6
    )


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        (HEAVY, 408, 159),
        ("SELECT groupArray(number) FROM numbers(100000000)", 507, 241),
        ("SELECT * FROM numbers(5001)", 400, 396),
        ("SELECT repeat('x', 1000000) FROM numbers(1000)", 400, 396),
        ("SELECT repeat('x', 900000) FROM numbers(5000)", 507, 241),
        ("SELECT repeat(toString(number), 100000) FROM numbers(5000)", 507, 241),
        ("SELECT 1 AS `" + "x" * 1000 + "` FROM numbers(2000) FORMAT Vertical", 400, 396),
    ],
    ids=["time", "memory", "rows", "bytes", "a constant many times", "long rows", "bytes as written"],
)
async def test_a_query_that_takes_too_much_is_ended(live: Live, sql: str, status: int, code: int) -> None:
    began = time.monotonic()
    got, text = await live.ask(sql)
    assert (got, text.split(".")[0]) == (status, f"Code: {code}"), text
    assert time.monotonic() - began < 10 * SECONDS_MAX


async def running(live: Live) -> int:
    def count(session: Connection) -> int:
        sql = "SELECT count() FROM system.processes WHERE query LIKE '%cityHash64%' AND query NOT LIKE '%processes%'"
        return int(session.query(sql, "TSV").bytes())

    return await live.clickhouse.embedded_session(count)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.05)


async def test_beyond_the_queue_comes_503_with_retry_after(live: Live) -> None:
    users = [str(uuid4()) for _ in range(3)]
    heavy = [
        asyncio.create_task(live.ask(HEAVY, token=live.token(user_id=user_id)))
        for user_id in (users[0], users[1])
    ]
    await until(lambda: _is(live, 2))
    waiting = [
        asyncio.create_task(live.ask("SELECT 1", token=live.token(user_id=user_id)))
        for user_id in (users[0], users[1])
    ]
    await asyncio.sleep(0.2)
    headers = {"Authorization": f"Bearer {live.token(user_id=users[2])}"}
    async with live.http.post(live.url, data=b"SELECT 1", headers=headers) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert (await answer.text()).startswith("Code: 202.")
    # Those who waited are sent away too when no place becomes free in time.
    assert {status for status, _ in await asyncio.gather(*waiting)} == {503}
    assert {status for status, _ in await asyncio.gather(*heavy)} == {408}
    assert await live.ask("SELECT 1") == (200, "1\n")


async def _is(live: Live, count: int) -> bool:
    return await running(live) == count


async def test_one_user_does_not_take_every_place(live: Live) -> None:
    token = live.token()
    asked = [asyncio.create_task(live.ask(HEAVY, token=token)) for _ in range(3)]
    await until(lambda: _is(live, 2))
    status, text = await live.ask("SELECT 1", token=token)
    assert (status, "of one user" in text) == (503, True)
    for task in asked:
        task.cancel()
    await until(lambda: _is(live, 0))


async def test_a_client_that_goes_ends_its_query(live: Live) -> None:
    headers = {"Authorization": f"Bearer {live.token()}"}
    timeout = aiohttp.ClientTimeout(total=1)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await live.http.post(live.url, data=HEAVY.encode(), headers=headers, timeout=timeout)
    await until(lambda: _is(live, 0))
    assert time.monotonic() - began < SECONDS_MAX


async def test_heavy_queries_never_stop_what_is_written(live: Live) -> None:
    """Two at work all the time, as many as may; batches of rows go on being written, and soon."""
    await live.clickhouse.command(
        "CREATE TABLE IF NOT EXISTS written (a UInt64) ENGINE = MergeTree ORDER BY a"
    )
    alone = await _write(live.clickhouse)
    heavy = [asyncio.create_task(live.ask(HEAVY, token=live.token(user_id=str(uuid4())))) for _ in range(2)]
    await until(lambda: _is(live, 2))
    beside = await _write(live.clickhouse)
    assert await running(live) == 2
    assert {status for status, _ in await asyncio.gather(*heavy)} == {408}
    print(
        f"slowest of {BATCHES} writes: alone {alone * 1000:.0f} ms, beside heavy queries {beside * 1000:.0f} ms"
    )
    assert beside < 2
    rows = await live.clickhouse.stored_rows("SELECT count() FROM written")
    assert rows[0][0] == 2 * BATCHES * 1000
    assert await live.ask("SELECT count() FROM trades") == (200, f"{TRADES}\n")


async def _write(clickhouse: ClickHouse) -> float:
    """The slowest of some writes, in seconds."""
    slowest = 0.0
    for _ in range(BATCHES):
        began = time.monotonic()
        await clickhouse.insert("written", ["a"], [list(range(1000))])
        slowest = max(slowest, time.monotonic() - began)
    return slowest
