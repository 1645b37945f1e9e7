"""From what a command touched to its effects: after-values, deltas, and the ledger that must sum to zero."""

from __future__ import annotations

from typing import Any

from engine.commands import MarketTerms
from engine.events import (
    AccountChange,
    Effects,
    Fill,
    HouseChange,
    LevelAfter,
    MarketAfter,
    NewOrder,
    OrderAfter,
    Payout,
    PositionAfter,
)
from engine.run import Run
from engine.state import Account, Market, Order, Position

_TERMS = len(MarketTerms.__struct_fields__)
"""The terms are the first fields of a market."""

_HOUSE = HouseChange.__struct_fields__
_ORDER = OrderAfter.__struct_fields__[2:]
_HOUSE_AT = tuple(Market.FIELDS.index(name) for name in _HOUSE)
_YES_AT, _NO_AT = Position.FIELDS.index("yes"), Position.FIELDS.index("no")


class _Users:
    """The users of an event, named once."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._index: dict[str, int] = {}
        self.points: dict[int, tuple[int, int]] = {}
        self.shares: dict[int, tuple[int, int]] = {}
        self.frames: dict[int, int] = {}

    def index(self, user_id: str) -> int:
        index = self._index.get(user_id)
        if index is None:
            index = self._index[user_id] = len(self.ids)
            self.ids.append(user_id)
        return index

    def frame(self, index: int) -> None:
        self.frames[index] = self.frames.get(index, 0) + 1


def effects_of(run: Run) -> Effects:
    """Everything the command did, from the rows it touched. Stamps touched orders and the market with seq and time."""
    users = _Users()
    effects = Effects(users=users.ids, accounts=[], house=HouseChange())
    for row, before in run.journal.rows():
        if isinstance(row, Order):
            _order(run, users, effects, row)
        elif isinstance(row, Position):
            _position(users, effects, row, before)
        elif isinstance(row, Account):
            _account(users, row, before)
        elif isinstance(row, Market):
            _market(run, effects, row, before)
    for user_id, fill in run.fills:
        index = users.index(user_id)
        users.frame(index)
        effects.fills.append(_with_user(fill, index))
    effects.trades = run.trades
    ladders = run.market_state.ladders
    effects.levels = [
        LevelAfter(leg, bid, ladders[leg].levels.get(bid, 0)) for leg, bid in sorted(run.levels)
    ]
    effects.payouts = [Payout(users.index(user_id), *paid) for user_id, *paid in run.paid]
    effects.accounts = _account_changes(users)
    _columns_sum_to_zero(effects)
    return effects


def _order(run: Run, users: _Users, effects: Effects, order: Order) -> None:
    order.updated_at, order.seq = run.now, run.seq
    index = users.index(order.user_id)
    users.frame(index)
    effects.orders.append(OrderAfter(order.order_id, index, *(getattr(order, name) for name in _ORDER)))
    if order is run.new_order:
        effects.new_order = NewOrder(
            order.order_id,
            index,
            order.client_order_id,
            order.side,
            order.outcome,
            order.type,
            order.time_in_force,
            order.post_only,
            order.self_trade,
            order.amount_micros,
        )


def _position(users: _Users, effects: Effects, position: Position, before: tuple[Any, ...] | None) -> None:
    after = position.read()
    if after == before:
        return
    index = users.index(position.user_id)
    users.frame(index)
    effects.positions.append(PositionAfter(index, *after))
    was_yes, was_no = (before[_YES_AT], before[_NO_AT]) if before else (0, 0)
    users.shares[index] = (position.yes - was_yes, position.no - was_no)


def _account(users: _Users, account: Account, before: tuple[Any, ...] | None) -> None:
    assert before is not None
    delta = (account.available - before[0], account.locked - before[1])
    index = users.index(account.user_id)
    if delta != (0, 0):
        users.frame(index)
        users.points[index] = delta


def _market(run: Run, effects: Effects, market: Market, before: tuple[Any, ...] | None) -> None:
    market.updated_at = run.now
    after = market.read()
    terms = after[:_TERMS] if before is None or before[:_TERMS] != after[:_TERMS] else None
    effects.market = MarketAfter(_terms(terms) if terms else None, *after[_TERMS:])
    was = before or (0,) * len(after)
    effects.house = HouseChange(*(after[at] - was[at] for at in _HOUSE_AT))


def _terms(values: tuple[Any, ...]) -> MarketTerms:
    return MarketTerms(**dict(zip(Market.FIELDS, values, strict=False)))


def _with_user(fill: Fill, user: int) -> Fill:
    return Fill(
        fill.trade,
        fill.order_id,
        user,
        fill.taker,
        fill.side,
        fill.outcome,
        fill.price_micros,
        fill.quantity,
        fill.cost,
        fill.fee,
        fill.netted,
    )


def _account_changes(users: _Users) -> list[AccountChange]:
    changes = []
    for index in range(len(users.ids)):
        available, locked = users.points.get(index, (0, 0))
        yes, no = users.shares.get(index, (0, 0))
        frames = users.frames.get(index, 0)
        if frames:
            changes.append(AccountChange(index, available, locked, yes, no, frames))
    return changes


def _columns_sum_to_zero(effects: Effects) -> None:
    """What users gained the market gave: points, YES and NO (a system stream's counter is issuance)."""
    house = effects.house
    yes = sum(change.yes_delta for change in effects.accounts)
    no = sum(change.no_delta for change in effects.accounts)
    assert yes == house.collateral - house.pool_yes - house.treasury_yes or _ends(effects), "YES is conserved"
    assert no == house.collateral - house.pool_no - house.treasury_no or _ends(effects), "NO is conserved"
    if effects.market is not None:
        points = sum(change.available_delta + change.locked_delta for change in effects.accounts)
        held = house.collateral + house.vault + house.treasury_points + house.pending
        assert points + held == 0, "points are conserved"


def _ends(effects: Effects) -> bool:
    """A decided market pays shares out instead of keeping them paired."""
    return effects.market is not None and effects.market.status in ("RESOLVED", "CANCELLED")
