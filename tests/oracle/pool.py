"""The constant-product pool by its definition, in exact fractions.

`a` is the reserve of the outcome that is acquired, `b` the reserve of the other one. All integers are micros.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor

UNIT = 1_000_000


def price(a: int, b: int) -> Fraction:
    """Marginal price of the acquired outcome, in points per share, strictly between 0 and 1."""
    return Fraction(b, a + b)


def received(a: int, b: int, spend: int) -> int:
    """What `spend` micros buy: the user is paid floor, so the product of the reserves never falls."""
    return floor(a + spend - Fraction(a * b, b + spend))


def after(a: int, b: int, spend: int, quantity: int) -> tuple[int, int]:
    """The reserves after `spend` bought `quantity`: `spend` sets were minted into the pool."""
    return a + spend - quantity, b + spend


def smallest_spend(a: int, b: int, quantity: int) -> int:
    """The smallest spend that yields at least `quantity`. A micro always buys at least a micro-share."""
    return first_true(0, quantity, lambda spend: received(a, b, spend) >= quantity)


def largest_spend_to(a: int, b: int, limit: Fraction) -> int:
    """The largest spend that leaves the price of the acquired outcome at or below `limit`."""

    def beyond(spend: int) -> bool:
        return price(*after(a, b, spend, received(a, b, spend))) > limit

    high = 1
    while not beyond(high):
        high *= 2
    return max(0, first_true(0, high, beyond) - 1)


def first_true(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The smallest n in low..high with holds(n), for a predicate true from some n on (and at `high`)."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def inject(yes: int, no: int, pending: int) -> tuple[int, int, int, int]:
    """Price-neutral: (YES added, NO added, surplus YES, surplus NO). Sets minted = the larger addition."""
    small, large = min(yes, no), max(yes, no)
    add_small = floor(Fraction(pending * small, large))
    if add_small == 0:
        return 0, 0, 0, 0
    add_large = ceil(Fraction(add_small * large, small))
    surplus = add_large - add_small
    if yes <= no:
        return add_small, add_large, surplus, 0
    return add_large, add_small, 0, surplus


def fee_on_cost(cost: int, fee_bps: int) -> int:
    """Fee of a BUY that opens for `cost`: the smallest gross G with G - ceil(rate x G) >= cost, less cost."""
    rate = Fraction(fee_bps, 10_000)
    gross = first_true(cost, 2 * cost + 2, lambda g: g - ceil(rate * g) >= cost)
    return gross - cost


def fee_on_output(output: int, fee_bps: int) -> int:
    """Fee of a SELL: ceil of the rate on the sum of its outputs."""
    return ceil(Fraction(output * fee_bps, 10_000))
