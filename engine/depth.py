"""Merged depth: the pool beside the book, level by level in YES prices.

A level of the pool is what it trades while its marginal price moves from the level before to this one, in whole lots.
Whoever takes everything up to a level with a limit order gets the sums shown, less at most a lot for each part in which
the router buys from the pool. Fees come on top.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from engine import pool
from engine.state import Outcome
from engine.units import MICROS, lot_micros


@dataclass(frozen=True, slots=True)
class Level:
    """What can be traded at one YES price (micro-shares)."""

    price: int
    book: int
    pool: int

    @property
    def quantity(self) -> int:
        return self.book + self.pool


@dataclass(frozen=True, slots=True)
class Depth:
    """Both sides, best first."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


def plain(bids: Mapping[int, int], asks: Mapping[int, int], depth: int) -> Depth:
    """The book alone, `depth` levels a side (0: all)."""
    levels = depth or None
    return Depth(
        tuple(Level(price, bids[price], 0) for price in sorted(bids, reverse=True)[:levels]),
        tuple(Level(price, asks[price], 0) for price in sorted(asks)[:levels]),
    )


def merged(
    bids: Mapping[int, int],
    asks: Mapping[int, int],
    *,
    pool_yes: int,
    pool_no: int,
    tick: int,
    depth: int,
) -> Depth:
    """Book and pool, `depth` levels a side (0: all). Without a pool: the book."""
    if not pool_yes or not pool_no:
        return plain(bids, asks, depth)
    bid_levels = _side(bids, pool.Reserves(pool_no, pool_yes), Outcome.NO, tick)
    ask_levels = _side(asks, pool.Reserves(pool_yes, pool_no), Outcome.YES, tick)
    return Depth(tuple(islice(bid_levels, depth or None)), tuple(islice(ask_levels, depth or None)))


def _side(book: Mapping[int, int], reserves: pool.Reserves, acquired: Outcome, tick: int) -> Iterator[Level]:
    """Levels that hold something. Who sells YES acquires NO from the pool, at the complement of the YES price."""
    lot, taken = lot_micros(tick), 0
    pool_cost = reserves.other * MICROS // (reserves.acquired + reserves.other)
    if acquired is Outcome.YES:
        book_cost = min(book, default=pool_cost)
    else:
        book_cost = MICROS - max(book, default=MICROS - pool_cost)
    first = min(book_cost, pool_cost) // tick * tick  # below it there is nothing
    for cost in range(max(tick, first), MICROS, tick):
        price = cost if acquired is Outcome.YES else MICROS - cost
        shares = pool.shares_for(reserves, pool.cost_up_to_price(reserves, cost))
        shares -= shares % lot
        level = Level(price, book.get(price, 0), shares - taken)
        taken = shares
        if level.quantity:
            yield level
