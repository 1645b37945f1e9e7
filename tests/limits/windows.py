"""Admissions and the windows they fall into."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass

from runtime.rate_limits import Limit


@dataclass(frozen=True, slots=True)
class Admission:
    """It was admitted somewhere between two moments, in seconds of one clock. `cost`: what it counted."""

    asked_at: float
    answered_at: float
    cost: int = 1


def most_in_a_window(admissions: Iterable[Admission], limit: Limit) -> int:
    """The most that surely fell into one window, wherever it begins; never more than really did.

    Whatever was asked for and answered within a window's length was admitted within it.
    """
    asked: list[float] = []
    most = 0
    for admission in sorted(admissions, key=lambda each: each.answered_at):
        for _ in range(admission.cost):
            insort(asked, admission.asked_at)
        begins_at = admission.answered_at - limit.window_seconds
        most = max(most, len(asked) - bisect_left(asked, begins_at))
    return most
