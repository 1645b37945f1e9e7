"""The events kept for the relay: consecutive from the cursor on, or none at all."""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from engine.events import Event
from order_service.fresh_events import FreshEvents


def numbered(first: int, count: int) -> list[Event]:
    """Their own numbers stand in for events: what is kept is never looked into."""
    return cast(list[Event], list(range(first, first + count)))


def pairs(*numbers: int) -> list[tuple[int, Event]]:
    return [(number, cast(Event, number)) for number in numbers]


def test_events_follow_the_cursor_in_order() -> None:
    fresh = FreshEvents()
    fresh.add(5, numbered(5, 3))
    fresh.add(8, numbered(8, 2))
    assert fresh.after(4, 4) == pairs(5, 6, 7, 8)
    assert fresh.after(8, 4) == pairs(9)
    assert fresh.after(9, 4) == []


def test_what_was_read_elsewhere_is_dropped() -> None:
    fresh = FreshEvents()
    fresh.add(5, numbered(5, 3))
    assert fresh.after(6, 10) == pairs(7)


def test_a_cursor_far_behind_is_told_to_read_the_database() -> None:
    fresh = FreshEvents()
    fresh.add(5, numbered(5, 3))
    assert (fresh.after(2, 10), fresh.is_ahead()) == ([], True)
    assert fresh.after(4, 3) == pairs(5, 6, 7), "and what is kept is still there"
    assert (fresh.after(7, 1), fresh.is_ahead()) == ([], False), "with nothing left to read"


def test_what_does_not_fit_is_left_to_the_database() -> None:
    fresh = FreshEvents(kept_max=4)
    assert [fresh.add(1, numbered(1, 3)), fresh.add(4, numbered(4, 2))] == [True, False]
    assert fresh.after(0, 10) == pairs(1, 2, 3)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(1, 5))))
def test_the_relay_sees_each_number_at_most_once_and_never_past_a_gap(
    steps: list[tuple[int, bool, int]],
) -> None:
    fresh, committed, cursor = FreshEvents(kept_max=8), 0, 0
    for count, handed_in, most in steps:
        if handed_in and count:
            fresh.add(committed + 1, numbered(committed + 1, count))
        committed += count
        taken = fresh.after(cursor, most)
        assert taken == pairs(*range(cursor + 1, cursor + 1 + len(taken)))
        cursor = taken[-1][0] if taken else committed if count == 0 else cursor
