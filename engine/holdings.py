"""What a fill does to a holder: netting, cost basis, and the resting SELLs that lose their cover."""

from __future__ import annotations

from typing import NamedTuple

from engine.run import Run
from engine.state import OrderStatus, Outcome, Position, Side
from engine.units import ceil_div


class Settled(NamedTuple):
    """One side of a fill (micros)."""

    netted: int
    """Shares that closed an opposite holding; that many points came in."""
    opening_cost: int
    """The part of the cost that opened a position, rounded up."""


def remove_shares(position: Position, outcome: Outcome, quantity: int) -> int:
    """Take shares of a leg; returns the cost basis that leaves: ceil of their part, all of it with the last."""
    held, basis = position.held(outcome), position.basis(outcome)
    assert 0 <= quantity <= held, "nobody gives what he does not hold"
    if quantity == 0:
        return 0
    removed = basis if quantity == held else ceil_div(basis * quantity, held)
    position.add_held(outcome, -quantity)
    position.add_basis(outcome, -removed)
    return removed


def acquire(run: Run, user_id: str, side: Side, leg: Outcome, quantity: int, cost_micros: int) -> Settled:
    """A user pays for `quantity` of `leg`, then nets it: a SELL all of it, a BUY what exceeds his own leg.

    The points of a pair are paid out of the collateral, so no trade leaves a user with a new YES+NO pair.
    """
    position, opposite = run.position(user_id), leg.opposite
    surplus = max(0, position.held(opposite) - position.held(leg))
    netted = quantity if side is Side.SELL else min(quantity, surplus)
    opening = ceil_div(cost_micros * (quantity - netted), quantity)
    run.account(user_id).available += netted - cost_micros
    run.touch_market().collateral -= netted
    position.add_held(leg, quantity - netted)
    position.add_basis(leg, opening)
    if netted:
        basis = remove_shares(position, opposite, netted)
        position.realized_pnl += netted - (cost_micros - opening) - basis
        if position.locked(opposite) > position.held(opposite):
            _cut_back(run, position, opposite)
    return Settled(netted, opening)


def _cut_back(run: Run, position: Position, outcome: Outcome) -> None:
    """Resting SELLs that lost their cover shrink by whole lots, the latest place first."""
    lot = run.market.lot_micros
    sells = [o for o in run.open_orders(position.user_id) if o.side is Side.SELL and o.outcome is outcome]
    for order in sorted(sells, key=lambda o: o.priority_seq, reverse=True):
        uncovered = position.locked(outcome) - position.held(outcome)
        if uncovered <= 0:
            return
        run.disturbed += 1
        cut = min(order.remaining, ceil_div(uncovered, lot) * lot)
        if cut == order.remaining:
            run.end_resting(order, OrderStatus.CANCELLED, "POSITION_NETTED")
        else:
            run.shrink_resting(order, cut)
            order.cancelled += cut
