"""I-1 to I-12 of the reference state, and what must hold from one state to the next."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from tests.oracle import pool
from tests.oracle.model import BUY, NO, SELL, TREASURY, YES, Market, World
from tests.oracle.pool import UNIT
from tests.oracle.trading import Answer

LIVE = ("ACTIVE", "PAUSED")


def check_world(world: World) -> None:
    """All invariants of one state."""
    in_markets = sum(m.collateral + m.vault + m.pending + m.treasury_points for m in world.markets.values())
    assert sum(world.points.values()) + in_markets == world.granted, "I-2"
    for user, points in world.points.items():
        assert min(points, world.locked(user), world.available(user)) >= 0, f"I-5 {user}"
    for market in world.markets.values():
        check_market(market)


def check_market(market: Market) -> None:
    positions = market.positions.values()
    assert sum(p.yes for p in positions) + market.yes + market.treasury_yes == market.collateral, "I-1 YES"
    assert sum(p.no for p in positions) + market.no + market.treasury_no == market.collateral, "I-1 NO"
    counts = (
        market.yes, market.no, market.collateral, market.vault, market.pending,
        market.treasury_yes, market.treasury_no, market.treasury_points,
    )  # fmt: skip
    assert min(counts) >= 0, "I-5 house"
    assert min(market.treasury_yes, market.treasury_no) == 0, "the treasury's pairs are merged"
    for user, position in market.positions.items():
        assert min(position.yes, position.no, position.basis_yes, position.basis_no) >= 0, f"I-5 {user}"
        for outcome in (YES, NO):
            assert 0 <= market.locked_shares(user, outcome) <= position.held(outcome), f"I-5 lock of {user}"
            assert position.held(outcome) > 0 or position.basis(outcome) == 0, f"basis without shares, {user}"
    check_orders(market)
    if market.status in LIVE:
        assert 1 <= probability(market) <= UNIT - 1, "I-9"
        check_book(market)


def probability(market: Market) -> int:
    """Published P_YES: floor, clamped away from both ends."""
    return min(UNIT - 1, max(1, market.no * UNIT // (market.yes + market.no)))


def check_orders(market: Market) -> None:
    for order in market.orders:
        assert order.remaining > 0, f"I-11 {order}"
        assert min(order.filled, order.cancelled) >= 0, f"I-11 {order}"
        assert (order.remaining % market.lot, order.price % market.tick) == (0, 0), f"lots and ticks {order}"
        assert (order.kind, order.time_in_force) in (("LIMIT", "GTC"), ("LIMIT", "GTD")), (
            f"cannot rest {order}"
        )
        assert order.price * order.remaining % UNIT == 0, f"I-12 a lock needs no rounding {order}"


def check_book(market: Market) -> None:
    """I-10: two lots, grown with what may move the pool past a resting order without trading with it.

    A MARKET order's dust, smaller than a lot, always reaches the pool and pushes it on; and an injection that
    deepens the pool at the same price deepens a gap of less than a lot with it.
    """
    growth = isqrt(market.yes * market.no // market.genesis_product) + 1
    slack = (2 + 2 * market.dust_legs) * market.lot * growth
    best = {
        outcome: max((o.bid for o in market.orders if o.acquires == outcome), default=0)
        for outcome in (YES, NO)
    }
    assert best[YES] + best[NO] < UNIT, "I-10 crossed"
    for outcome, bid in best.items():
        if bid:
            assert executable(market, outcome, bid) <= slack, f"I-10 {outcome} {bid}"


def executable(market: Market, outcome: str, bid: int) -> int:
    """How many shares of `outcome` the pool would sell at or below `bid`."""
    reserves = (market.yes, market.no) if outcome == YES else (market.no, market.yes)
    spend = pool.largest_spend_to(*reserves, Fraction(bid, UNIT))
    return pool.received(*reserves, spend)


def check_step(before: World, after: World, market_id: str, answer: Answer, minted: bool) -> None:
    """What must hold from one state to the next: I-4, I-6, I-7, I-11 of what was filled."""
    old, new = before.markets[market_id], after.markets[market_id]
    if old.status in LIVE and new.status in LIVE:
        assert new.yes * new.no >= old.yes * old.no, "I-4"
    if not minted:
        for user, position in new.positions.items():
            was = old.positions.get(user)
            sets = min(was.yes, was.no) if was else 0
            assert min(position.yes, position.no) <= sets, f"I-6 {user}"
    takers = [fill for fill in answer.fills if fill.liquidity == "TAKER"]
    assert sum(fill.fee for fill in answer.fills) == sum(fill.fee for fill in takers) == answer.fee, "I-7"
    assert all(fill.fee >= 0 and 0 <= fill.netted <= fill.quantity for fill in answer.fills)
    for order in answer.touched.values():
        assert order.remaining >= 0, "I-11"
        if order.status not in ("OPEN", "PARTIALLY_FILLED"):
            assert order.remaining == 0, f"I-11 {order}"
    for fill in answer.fills:
        touched = answer.touched[fill.order_id]
        if touched.kind == "LIMIT":
            check_limit(touched.side, touched.price, fill.quantity, fill.cost, fill.venue)


def check_limit(side: str, price: int, quantity: int, cost: int, venue: str) -> None:
    """I-11: no fill beyond the limit."""
    if side == BUY:
        assert cost * UNIT <= price * quantity, f"I-11 {venue} BUY {quantity} cost {cost} at limit {price}"
    else:
        assert side == SELL
        assert cost * UNIT >= price * quantity, f"I-11 {venue} SELL {quantity} for {cost} at {price}"


def joint_value(world: World, market_id: str) -> int:
    """I-8 over joint accounts: what all users together would have if they closed everything now, free of fees.

    Their points, a point per pair of opposite shares whoever holds them, and what the pool pays for the rest.
    """
    market = world.markets[market_id]
    positions = market.positions.values()
    yes, no = sum(p.yes for p in positions), sum(p.no for p in positions)
    points = sum(amount for user, amount in world.points.items() if user != TREASURY)
    rest = abs(yes - no)
    reserves = (market.no, market.yes) if yes > no else (market.yes, market.no)
    return points + min(yes, no) + rest - pool.smallest_spend(*reserves, rest)
