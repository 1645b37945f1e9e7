"""The constant-product pool: exact integer arithmetic.

`acquired` is the reserve of the outcome a trader acquires, `other` the opposite one. A trader's points mint sets: both
reserves grow by the points, then the trader takes acquired shares until the product is back. The trader receives floor
and pays ceil, so the product never decreases. (Constant product for minted sets: Gnosis' FixedProductMarketMaker.)
"""

from __future__ import annotations

from math import isqrt
from typing import NamedTuple

from engine.units import GENESIS_MIN_LOTS, MICROS, ceil_div, lot_micros


class Reserves(NamedTuple):
    """A pool seen by somebody who acquires one outcome (micro-shares)."""

    acquired: int
    other: int

    @property
    def product(self) -> int:
        return self.acquired * self.other


def after_spending(reserves: Reserves, cost_micros: int) -> Reserves:
    """Reserves once `cost_micros` were spent and floor of the shares taken."""
    other = reserves.other + cost_micros
    return Reserves(ceil_div(reserves.product, other), other)


def shares_for(reserves: Reserves, cost_micros: int) -> int:
    """Shares received for `cost_micros`: a + c - ceil(a*b / (b+c)), in the pool's favour."""
    return reserves.acquired + cost_micros - after_spending(reserves, cost_micros).acquired


def cost_of(reserves: Reserves, quantity_micros: int) -> int:
    """The smallest cost that yields at least `quantity_micros`.

    It is the ceiling of the positive root of c^2 + c(a+b-q) - qb = 0; `isqrt` floors, so at most a step is missing.
    """
    a, b = reserves
    linear = a + b - quantity_micros
    cost = max(0, (isqrt(linear * linear + 4 * quantity_micros * b) - linear) // 2)
    while (a + cost - quantity_micros) * (b + cost) < a * b:
        cost += 1
    return cost


def after_buying(reserves: Reserves, quantity_micros: int, cost_micros: int) -> Reserves:
    """Reserves once exactly `quantity_micros` were taken for `cost_micros` (the surplus of the cost stays in)."""
    return Reserves(reserves.acquired + cost_micros - quantity_micros, reserves.other + cost_micros)


def price_is_at_most(reserves: Reserves, price_micros: int) -> bool:
    """Whether the marginal price b/(a+b) of the acquired outcome is at most `price_micros`, exactly."""
    return reserves.other * MICROS <= price_micros * (reserves.acquired + reserves.other)


def price_is_below(reserves: Reserves, price_micros: int) -> bool:
    """Whether the marginal price of the acquired outcome is strictly below `price_micros`, exactly."""
    return reserves.other * MICROS < price_micros * (reserves.acquired + reserves.other)


def cost_up_to_price(reserves: Reserves, price_micros: int) -> int:
    """The largest cost after which the price is still at most `price_micros`; 0 when it already is there.

    b'^2 <= k*t/(1-t) bounds b' from below (`isqrt` floors, the acquired reserve is rounded up); the rounding of that
    reserve allows at most t/(1-t) + 2 above it, which is bisected.
    """
    if not price_is_below(reserves, price_micros):
        return 0
    rest = MICROS - price_micros
    low = max(0, isqrt(reserves.product * price_micros // rest) - reserves.other)
    high = low + price_micros // rest + 2
    while low < high:
        middle = (low + high + 1) // 2
        if price_is_at_most(after_spending(reserves, middle), price_micros):
            low = middle
        else:
            high = middle - 1
    return low


class Injection(NamedTuple):
    """A price-neutral addition of fees to the pool (micros)."""

    sets: int
    """Sets minted from the pending fees; the larger reserve gets that many shares."""
    small: int
    """What the smaller reserve gets; sets - small of that leg are the treasury's."""


def injection_of(pending_micros: int, small_reserve: int, large_reserve: int) -> Injection:
    """How many sets `pending_micros` of fees mint without moving the price by more than a unit.

    Adding equal amounts to both reserves would drag the price toward 0.5 and into resting orders.
    """
    small = pending_micros * small_reserve // large_reserve
    if small == 0:
        return Injection(0, 0)
    return Injection(ceil_div(small * large_reserve, small_reserve), small)


class Genesis(NamedTuple):
    """The opening of a pool (micro-shares); the surplus leg belongs to the treasury."""

    yes: int
    no: int
    treasury_yes: int
    treasury_no: int


def genesis_of(liquidity_micros: int, probability_micros: int) -> Genesis:
    """L sets at probability p: the larger reserve is L, the smaller its proportion, floored."""
    if probability_micros >= MICROS - probability_micros:
        yes = liquidity_micros * (MICROS - probability_micros) // probability_micros
        return Genesis(yes, liquidity_micros, liquidity_micros - yes, 0)
    no = liquidity_micros * probability_micros // (MICROS - probability_micros)
    return Genesis(liquidity_micros, no, 0, liquidity_micros - no)


def genesis_minimum(tick_micros: int) -> int:
    """The smallest share reserve a pool may open with."""
    return GENESIS_MIN_LOTS * lot_micros(tick_micros)


def probability(yes_reserve: int, no_reserve: int) -> int:
    """Published P_YES: NO / (YES + NO), floored to micros and clamped to 1..999,999 (P_NO is 1,000,000 minus it)."""
    return min(MICROS - 1, max(1, no_reserve * MICROS // (yes_reserve + no_reserve)))
