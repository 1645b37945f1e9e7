"""Merged depth against the engine: whoever takes what is shown with a limit order gets it, beyond a lot a pool leg."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import pool
from engine.depth import Depth, Level, merged, plain
from engine.pool import Reserves
from engine.units import MICROS, lot_micros

reserve = st.integers(10**6, 10**12)
tick = st.sampled_from([1_000, 10_000])
NOTHING: dict[int, int] = {}


def depth_of(yes: int, no: int, step: int, levels: int = 0) -> Depth:
    return merged(NOTHING, NOTHING, pool_yes=yes, pool_no=no, tick=step, depth=levels)


@settings(max_examples=60, deadline=None)
@given(reserve, reserve, tick)
def test_the_levels_of_a_side_add_up_to_what_the_pool_sells_up_to_there(yes: int, no: int, step: int) -> None:
    shown, lot = depth_of(yes, no, step, 5), lot_micros(step)
    for levels, reserves, is_ask in (
        (shown.asks, Reserves(yes, no), True),
        (shown.bids, Reserves(no, yes), False),
    ):
        total = 0
        for level in levels:
            total += level.pool
            cost = level.price if is_ask else MICROS - level.price
            sold = pool.shares_for(reserves, pool.cost_up_to_price(reserves, cost))
            assert total == sold - sold % lot
            assert level.quantity == level.pool > 0


@settings(max_examples=60, deadline=None)
@given(reserve, reserve, tick)
def test_bids_lie_below_the_pools_price_and_asks_above(yes: int, no: int, step: int) -> None:
    shown = depth_of(yes, no, step)
    for level in shown.asks:
        assert level.price * (yes + no) > no * MICROS
    for level in shown.bids:
        assert level.price * (yes + no) < no * MICROS
    prices = [level.price for level in shown.asks]
    assert prices == sorted(prices)
    assert [level.price for level in shown.bids] == sorted(
        (level.price for level in shown.bids), reverse=True
    )


def test_a_merged_book_is_the_mirror_of_its_mirror() -> None:
    """Who sells YES buys NO: the bids of a market are the asks of the one where YES and NO have changed names."""
    for yes, no in ((400 * MICROS, 600 * MICROS), (10**9, 3 * 10**8)):
        one, other = depth_of(yes, no, 10_000), depth_of(no, yes, 10_000)
        assert one.bids == tuple(Level(MICROS - each.price, each.book, each.pool) for each in other.asks)


def test_book_and_pool_stand_side_by_side() -> None:
    bids, asks = {550_000: 7, 610_000: 3}, {620_000: 4}
    shown = merged(bids, asks, pool_yes=400 * MICROS, pool_no=600 * MICROS, tick=10_000, depth=3)
    assert [(level.price, level.book) for level in shown.asks] == [(610_000, 0), (620_000, 4), (630_000, 0)]
    assert [(level.price, level.book) for level in shown.bids] == [(610_000, 3), (590_000, 0), (580_000, 0)]


def test_without_a_pool_the_book_is_alone() -> None:
    bids, asks = {100_000: 5, 200_000: 6}, {300_000: 1}
    assert merged(bids, asks, pool_yes=0, pool_no=0, tick=10_000, depth=0) == plain(bids, asks, 0)
    assert plain(bids, asks, 1) == Depth((Level(200_000, 6, 0),), (Level(300_000, 1, 0),))
