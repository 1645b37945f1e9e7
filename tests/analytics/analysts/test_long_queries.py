"""Long queries: whatever is made of them, the process goes on with its other work meanwhile."""

from __future__ import annotations

import asyncio
import time

import pytest

from analytics.analysts.requests import QUERY_MAX_BYTES
from tests.analytics.analysts.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

STEP_SECONDS = 0.05
STANDSTILL_MAX_SECONDS = 5.0
"""Of the loop. Texts of this length would stop it for minutes if their square counted."""

LONG = QUERY_MAX_BYTES - 100
QUERIES = {
    "spaces in an error": "SELECT nosuch, '" + " " * LONG + "'",
    "spaces in a syntax error": "SELECT 1 1 " + " " * LONG + " 1",
    "spaces behind SHOW": "SHOW TABLES" + " " * LONG + "x",
    "spaces behind DESCRIBE": "DESCRIBE TABLE trades" + " " * LONG + "x",
    "spaces before a format": "SELECT 1" + " " * LONG + "FORMAT CSV",
    "slashes": "SELECT nosuch, '" + "/a" * (LONG // 2) + "'",
    "parentheses": "SELECT nosuch, '" + "(A" * (LONG // 2) + "'",
    "names": "SELECT " + "a," * (LONG // 2) + "a",
    "values": "SELECT [" + "1," * (LONG // 2) + "1]",
    "a chain": "SELECT " + "1+" * (LONG // 2) + "1",
    "nested": "SELECT " + "[" * (LONG // 2) + "1" + "]" * (LONG // 2),
    "an aggregate's text": "SELECT arrayReduce('groupConcat(1" + " " * LONG + "x)', [1])",
    "a structure": "SELECT * FROM values('a Int8" + " " * LONG + "x', 1)",
    "a structure of many": "SELECT * FROM values('" + "a Int8," * (LONG // 7) + "', 1)",
}


async def _slowest_step() -> float:
    slowest = 0.0
    try:
        while True:
            began = time.monotonic()
            await asyncio.sleep(STEP_SECONDS)
            slowest = max(slowest, time.monotonic() - began - STEP_SECONDS)
    except asyncio.CancelledError:
        return slowest


@pytest.mark.parametrize("sql", [pytest.param(sql, id=name) for name, sql in QUERIES.items()])
async def test_a_long_query_stops_nothing_else(live: Live, sql: str) -> None:
    watching = asyncio.create_task(_slowest_step())
    await asyncio.sleep(0)
    status, text = await live.ask(sql)
    watching.cancel()
    assert (status == 200) == (sql.startswith("SELECT [1") or "FORMAT CSV" in sql), text[:300]
    assert status != 500
    if status != 200:
        assert len(text) < 5_000
    assert await watching < STANDSTILL_MAX_SECONDS
