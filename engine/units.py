"""Units and rounding: every amount is an int in micros; the direction of each rounding is named where it falls."""

from __future__ import annotations

MICROS = 1_000_000
"""Micros in one Point, one share, and the price of certainty."""

AMOUNT_MAX_MICROS = 10**15
"""The largest single amount (points or shares) a command may carry; sums stay exact in a browser's 2^53."""

GRANTED_MAX_MICROS = 9 * 10**15
"""The most points that may ever be granted, all accounts together."""

ORDER_MIN_MICROS = 1_000
"""The smallest amount to spend, limit quantity or mint; market sells and merges go down to 1 micro."""

BASIS_POINTS = 10_000
"""Basis points in one whole."""

FEE_MAX_BPS = 1_000
TICKS_ALLOWED_MICROS = (10_000, 1_000)

GENESIS_MIN_LOTS = 1_000
"""The smaller genesis reserve must hold this many lots, or a lot would move the price visibly."""

MAKERS_MAX = 1_000
"""Resting orders one command may fill, drop or cut; bounds the size of its event."""

OPEN_ORDERS_MAX = 200
"""Open orders per user and market."""

STEP_MAX = 2_000
"""Orders released or holders paid by one settlement step."""


def ceil_div(numerator: int, denominator: int) -> int:
    """numerator / denominator rounded up: for what users pay. `denominator` > 0."""
    return -(-numerator // denominator)


def lot_micros(tick_micros: int) -> int:
    """The lot of a tick: lot x tick = 1,000,000, so price x lots needs no rounding."""
    return MICROS // tick_micros


def points_for(price_micros: int, quantity_micros: int) -> int:
    """Exact points of whole lots at a price on the tick; asserts that nothing was rounded."""
    product = price_micros * quantity_micros
    assert product % MICROS == 0, "a book fill is always whole lots at a tick price"
    return product // MICROS
