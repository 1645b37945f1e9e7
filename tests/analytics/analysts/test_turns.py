"""The quota of time, with a clock that is set by hand."""

from __future__ import annotations

from contextlib import suppress

import pytest

from analytics.analysts.refusals import Refused
from analytics.analysts.turns import TurnLimits, Turns
from runtime.clock import ManualClock

HOUR_MICROS = 3_600_000_000


async def test_whoever_has_used_up_the_time_waits_for_the_next_hour() -> None:
    clock = ManualClock(100 * HOUR_MICROS + 600_000_000)
    turns = Turns(TurnLimits(user_seconds_per_hour=10), clock)
    for _ in range(2):
        async with turns.turn("ann"):
            clock.advance(5)
    with pytest.raises(Refused) as refused:
        async with turns.turn("ann"):
            pass
    assert (refused.value.status, refused.value.retry_seconds) == (429, 3_600 - 610)
    async with turns.turn("ben"):
        pass
    clock.advance(3_600)
    async with turns.turn("ann"):
        pass


async def test_a_query_that_fails_uses_time_too() -> None:
    clock = ManualClock(100 * HOUR_MICROS)
    turns = Turns(TurnLimits(user_seconds_per_hour=10), clock)
    with suppress(ValueError):
        async with turns.turn("ann"):
            clock.advance(10)
            raise ValueError
    with pytest.raises(Refused):
        async with turns.turn("ann"):
            pass
