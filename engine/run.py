"""One command being applied: what it may touch, and what it leaves for its event."""

from __future__ import annotations

from engine.events import Fill, Trade
from engine.journal import Journal
from engine.refusals import Code, Refused
from engine.state import (
    Account,
    Ladder,
    Market,
    MarketState,
    Order,
    OrderStatus,
    Outcome,
    Position,
    ShardState,
    Side,
)
from engine.units import MICROS, points_for


class Run:
    """The command's view of one market; every change goes through it, so that the journal knows it."""

    __slots__ = (
        "disturbed",
        "fills",
        "journal",
        "levels",
        "market",
        "market_state",
        "new_order",
        "now",
        "paid",
        "seq",
        "share_micros",
        "state",
        "trades",
    )

    def __init__(self, state: ShardState, market_state: MarketState, now: int) -> None:
        self.state = state
        self.market_state = market_state
        self.market: Market = market_state.market
        self.journal: Journal = state.journal
        self.now = now
        self.seq = market_state.market.seq + 1
        self.trades: list[Trade] = []
        self.fills: list[tuple[str, Fill]] = []
        self.levels: set[tuple[Outcome, int]] = set()
        self.disturbed = 0
        """Resting orders filled, dropped or cut so far; bounds the event."""
        self.share_micros = MICROS
        """The part of every bound that this command may use, so that its event stays below 512 KiB."""
        self.new_order: Order | None = None
        self.paid: list[tuple[str, int, int, int, int]] = []
        """(user, points, yes, no, basis) of each holder paid."""

    def at_most(self, bound: int) -> int:
        """How many rows a step may touch where the rule says `bound`: fewer when the event would be too large."""
        return max(1, bound * self.share_micros // MICROS)

    # -- rows, saved before their first change

    def touch_market(self) -> Market:
        self.journal.touch(self.market)
        return self.market

    def account(self, user_id: str) -> Account:
        account = self.state.account(user_id)
        self.journal.touch(account)
        return account

    def position(self, user_id: str) -> Position:
        positions = self.market_state.positions
        position = positions.get(user_id)
        if position is None:
            position = positions[user_id] = Position(self.market.market_id, user_id)
            self.journal.created(position)
            self.journal.on_undo(positions.pop, user_id, None)
        else:
            self.journal.touch(position)
        return position

    def held(self, user_id: str, outcome: Outcome) -> int:
        position = self.market_state.positions.get(user_id)
        return position.held(outcome) if position else 0

    def unlocked(self, user_id: str, outcome: Outcome) -> int:
        position = self.market_state.positions.get(user_id)
        return position.unlocked(outcome) if position else 0

    # -- resting orders

    def open_orders(self, user_id: str) -> list[Order]:
        """By place: a dictionary's order changes when a command is undone, and an event must not."""
        orders = self.market_state.open_by_user.get(user_id, {}).values()
        return sorted(orders, key=lambda order: order.priority_seq)

    def own_open_order(self, user_id: str, order_id: str) -> Order:
        """The open order of this user; another's and an ended one are not found."""
        order = self.market_state.orders.get(order_id)
        if order is None or order.user_id != user_id:
            raise Refused(Code.ORDER_NOT_FOUND, "You have no open order with this id in this market.")
        return order

    def rest(self, order: Order) -> None:
        """Let what remains of a limit order wait in its ladder, and lock what backs it."""
        order.priority_seq = self.seq
        if order.side is Side.BUY:
            order.locked_points = points_for(order.price_micros, order.remaining)
            account = self.account(order.user_id)
            account.available -= order.locked_points
            account.locked += order.locked_points
        else:
            self.position(order.user_id).add_locked(order.outcome, order.remaining)
        state, ladder = self.market_state, self.market_state.ladders[order.leg]
        assert order.order_id not in state.orders, "an order id names one order"
        key = Ladder.key(order)
        mine = state.open_by_user.setdefault(order.user_id, {})
        state.orders[order.order_id] = order
        mine[order.order_id] = order
        ladder.orders[key] = order
        self.journal.on_undo(state.orders.pop, order.order_id)
        self.journal.on_undo(mine.pop, order.order_id)
        self.journal.on_undo(ladder.orders.__delitem__, key)
        self._change_level(order, order.remaining)

    def leave_book(self, order: Order) -> None:
        """Take an order out of its ladder and give back what it locked; it keeps its `remaining`."""
        state, ladder = self.market_state, self.market_state.ladders[order.leg]
        self.journal.touch(order)
        key = Ladder.key(order)
        mine = state.open_by_user[order.user_id]
        del state.orders[order.order_id], mine[order.order_id], ladder.orders[key]
        self.journal.on_undo(state.orders.__setitem__, order.order_id, order)
        self.journal.on_undo(mine.__setitem__, order.order_id, order)
        self.journal.on_undo(ladder.orders.__setitem__, key, order)
        self._change_level(order, -order.remaining)
        self._unlock(order, order.remaining)

    def end_resting(self, order: Order, status: OrderStatus, reason: str) -> None:
        """Cancel or expire a resting order."""
        self.leave_book(order)
        end(order, status, reason)

    def shrink_resting(self, order: Order, quantity: int) -> None:
        """Take `quantity` (whole lots, less than all) from a resting order without moving it."""
        self.journal.touch(order)
        self._change_level(order, -quantity)
        self._unlock(order, quantity)
        order.remaining -= quantity

    def take_from_resting(self, order: Order, quantity: int) -> None:
        """A maker is filled: its remainder and its lock shrink by `quantity`; the caller moves points and shares."""
        if quantity == order.remaining:
            self.leave_book(order)
            order.remaining = 0
        else:
            self.shrink_resting(order, quantity)
        order.filled += quantity
        order.status = OrderStatus.PARTIALLY_FILLED if order.remaining else OrderStatus.FILLED

    def _unlock(self, order: Order, quantity: int) -> None:
        if order.side is Side.BUY:
            points = points_for(order.price_micros, quantity)
            order.locked_points -= points
            account = self.account(order.user_id)
            account.available += points
            account.locked -= points
        else:
            self.position(order.user_id).add_locked(order.outcome, -quantity)

    def _change_level(self, order: Order, quantity: int) -> None:
        ladder = self.market_state.ladders[order.leg]
        ladder.change_level(order.bid_micros, quantity)
        self.journal.on_undo(ladder.change_level, order.bid_micros, -quantity)
        self.levels.add((order.leg, order.bid_micros))


def end(order: Order, status: OrderStatus, reason: str) -> None:
    """What remains of an order is cancelled."""
    order.cancelled += order.remaining
    order.remaining = 0
    order.status = status
    order.reason = reason
