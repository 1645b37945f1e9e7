"""What one event says it did, held against what it changed: shares, the house's part, the fee, payouts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine import fees
from engine.core import is_system_stream
from engine.events import Event, Fill, HouseChange
from engine.settlement import payout_of
from engine.state import Market, MarketState, Position, Side
from engine.units import ceil_div

_HOUSE = HouseChange.__struct_fields__


@dataclass(frozen=True, slots=True)
class Before:
    """A market before an event, and the positions that the event changes."""

    market: Market | None
    positions: dict[str, Position]


def before(event: Event, state: MarketState | None) -> Before:
    """Copies, to be taken before the event is folded."""
    users = event.effects.users
    changed = {users[position.user] for position in event.effects.positions}
    changed |= {users[payout.user] for payout in event.effects.payouts}
    known = state.positions if state else {}
    nobody = Position(event.market_id, "")
    positions = {user: Position(event.market_id, user, known.get(user, nobody).read()) for user in changed}
    if state is None:
        return Before(None, positions)
    market = state.market
    return Before(Market(market.market_id, market.created_by, market.created_at, market.read()), positions)


def broken(event: Event, was: Before, after: MarketState) -> Iterator[str]:
    """What does not agree, in words."""
    if is_system_stream(event.market_id):
        return
    yield from _shares(event, was, after)
    yield from _house(event, was, after.market)
    if was.market is not None:
        yield from _payouts(event, was, was.market, after.market)


def fee_due(event: Event, fee_bps: int) -> int:
    """The fee of the command by its taker fills: one fee, on its sums."""
    taken = [fill for fill in event.effects.fills if fill.taker]
    if not taken:
        return 0
    if taken[0].side is Side.SELL:
        return fees.sell_fee(sum(fill.cost for fill in taken), fee_bps)
    return fees.buy_fee(sum(_opening_cost(fill) for fill in taken), fee_bps)


def _opening_cost(fill: Fill) -> int:
    return ceil_div(fill.cost * (fill.quantity - fill.netted), fill.quantity)


def _shares(event: Event, was: Before, after: MarketState) -> Iterator[str]:
    """The ledger's shares are the change of the positions."""
    users = event.effects.users
    said = {users[c.user]: (c.yes_delta, c.no_delta) for c in event.effects.accounts}
    for user in said.keys() | was.positions.keys():
        held = after.positions.get(user)
        had = was.positions.get(user, held)
        changed = (held.yes - had.yes, held.no - had.no) if held and had else (0, 0)
        if said.get(user, (0, 0)) != changed:
            yield f"user {user} gained {said.get(user)} by the ledger, {changed} by the position"


def _house(event: Event, was: Before, market: Market) -> Iterator[str]:
    """The house's deltas are the change of the market's row."""
    for name in _HOUSE:
        said = getattr(event.effects.house, name)
        changed = getattr(market, name) - (getattr(was.market, name) if was.market else 0)
        if said != changed:
            yield f"{name} changed by {changed}, the house's part says {said}"


def _payouts(event: Event, was: Before, decided: Market, market: Market) -> Iterator[str]:
    """Each holder is paid what the decision gives for all that was held, and counted."""
    payouts = event.effects.payouts
    for payout in payouts:
        user = event.effects.users[payout.user]
        position = was.positions[user]
        due = (
            payout_of(decided, position),
            position.yes,
            position.no,
            position.basis_yes + position.basis_no,
        )
        said = (payout.points, payout.yes, payout.no, payout.basis)
        if said != due:
            yield f"user {user} was paid {said}, due was {due}"
    counted = (market.paid - decided.paid, market.holders_paid - decided.holders_paid)
    if counted != (sum(payout.points for payout in payouts), len(payouts)):
        yield f"paid and holders_paid grew by {counted}"
