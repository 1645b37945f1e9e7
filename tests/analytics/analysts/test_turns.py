"""The quota of time, with a clock that is set by hand."""

from __future__ import annotations

import pytest

from analytics.analysts.refusals import Refused
from analytics.analysts.turns import TurnLimits, Turns
from runtime.clock import ManualClock

HOUR_MICROS = 3_600_000_000


async def test_whoever_has_used_up_the_time_waits_for_the_next_hour() -> None:
    clock = ManualClock(100 * HOUR_MICROS + 600_000_000)
    turns = Turns(TurnLimits(user_seconds_per_hour=10), clock)
    for _ in range(2):
        end = await turns.turn("ann")
        clock.advance(5)
        end()
    with pytest.raises(Refused) as refused:
        await turns.turn("ann")
    assert (refused.value.status, refused.value.retry_seconds) == (429, 3_600 - 610)
    (await turns.turn("ben"))()
    clock.advance(3_600)
    (await turns.turn("ann"))()


async def test_a_place_is_taken_until_it_is_given_back() -> None:
    turns = Turns(TurnLimits(running_max=1, wait_seconds=0.01), ManualClock(HOUR_MICROS))
    end = await turns.turn("ann")
    with pytest.raises(Refused) as refused:
        await turns.turn("ben")
    assert refused.value.status == 503
    end()
    (await turns.turn("ben"))()
