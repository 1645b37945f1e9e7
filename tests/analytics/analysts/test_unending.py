"""A query that the engine does not end, as it never looks at its clock: whoever asked is answered all the same."""

from __future__ import annotations

import asyncio

import pytest

from analytics.analysts.sessions import Bounds
from analytics.analysts.turns import TurnLimits
from runtime.metrics import REGISTRY
from tests.analytics.analysts.conftest import Live

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS_MAX = 1
GRACE_SECONDS = 0.2
PATIENCE_SECONDS = 120
ROWS_MAX = 1_000_000


@pytest.fixture(scope="module")
def bounds() -> Bounds:
    return Bounds(seconds_max=SECONDS_MAX)


@pytest.fixture(scope="module")
def turns() -> TurnLimits:
    return TurnLimits(running_max=1, wait_seconds=0.1)


@pytest.fixture(scope="module")
def grace_seconds() -> float:
    return GRACE_SECONDS


def one_long_step(rows: int) -> str:
    """It compares each element with each."""
    numbers = f"arrayMap(x -> toFloat64(x), range({rows}))"
    return f"SELECT hasAll({numbers}, {numbers})"


def ending() -> float | None:
    return REGISTRY.get_sample_value("analytics_analysts_ending")


async def until_none_is_ending() -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while ending():
            await asyncio.sleep(0.05)


async def rows_that_take_too_long(live: Live) -> int:
    """And three quarters more, which takes three times as long: for this machine, now."""
    rows = 20_000
    while not ending():
        rows = rows * 3 // 2
        assert rows < ROWS_MAX, "the engine ends it: then there is nothing to test here"
        await live.ask(one_long_step(rows))
    await until_none_is_ending()
    return rows * 7 // 4


async def test_its_sender_is_told_in_time_and_its_place_stays_taken_until_it_has_ended(live: Live) -> None:
    status, text = await live.ask(one_long_step(await rows_that_take_too_long(live)))
    assert (status, text.split(".")[0], ending()) == (408, "Code: 159", 1)
    status, text = await live.ask("SELECT 1")
    assert (status, "No place became free" in text) == (503, True)
    await until_none_is_ending()
    assert await live.ask("SELECT 1") == (200, "1\n")
