"""The reference state. Locks are never stored: they are summed over the open orders when needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.oracle.pool import UNIT

YES, NO, BUY, SELL = "YES", "NO", "BUY", "SELL"
TREASURY = "00000000-0000-4000-8000-000000000001"


def other(outcome: str) -> str:
    return NO if outcome == YES else YES


@dataclass(slots=True)
class Position:
    yes: int = 0
    no: int = 0
    basis_yes: int = 0
    basis_no: int = 0
    realized: int = 0

    def held(self, outcome: str) -> int:
        return self.yes if outcome == YES else self.no

    def basis(self, outcome: str) -> int:
        return self.basis_yes if outcome == YES else self.basis_no

    def add(self, outcome: str, quantity: int, basis: int) -> None:
        if outcome == YES:
            self.yes, self.basis_yes = self.yes + quantity, self.basis_yes + basis
        else:
            self.no, self.basis_no = self.no + quantity, self.basis_no + basis

    def remove(self, outcome: str, quantity: int) -> int:
        """Take shares out with their part of the cost basis, rounded up. Returns that part."""
        held, basis = self.held(outcome), self.basis(outcome)
        gone = 0 if quantity == 0 else -(-basis * quantity // held)
        self.add(outcome, -quantity, -gone)
        return gone


@dataclass(slots=True)
class Order:
    order_id: str
    user: str
    side: str
    outcome: str
    kind: str
    time_in_force: str
    price: int
    quantity: int
    priority_seq: int
    self_trade: str
    post_only: bool = False
    expires_at: int | None = None
    filled: int = 0
    cancelled: int = 0
    cost: int = 0
    fee: int = 0
    netted: int = 0
    status: str = "OPEN"
    reason: str = ""

    @property
    def remaining(self) -> int:
        return self.quantity - self.filled - self.cancelled

    @property
    def acquires(self) -> str:
        """The outcome this order acquires: a SELL acquires the other one and nets it."""
        return self.outcome if self.side == BUY else other(self.outcome)

    @property
    def bid(self) -> int:
        """Its price on the ladder of bids for what it acquires."""
        return self.price if self.side == BUY else UNIT - self.price

    def expired(self, now: int) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(slots=True)
class Market:
    market_id: str
    tick: int
    fee_bps: int
    liquidity: int
    initial_probability: int
    closes_at: int
    status: str = "DRAFT"
    reason: str = ""
    outcome: str = ""
    seq: int = 0
    yes: int = 0
    no: int = 0
    collateral: int = 0
    vault: int = 0
    pending: int = 0
    treasury_yes: int = 0
    treasury_no: int = 0
    treasury_points: int = 0
    shortfall: int = 0
    genesis_product: int = 0
    dust_legs: int = 0
    positions: dict[str, Position] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)

    @property
    def lot(self) -> int:
        return UNIT // self.tick

    def position(self, user: str) -> Position:
        return self.positions.setdefault(user, Position())

    def orders_of(self, user: str) -> list[Order]:
        return [order for order in self.orders if order.user == user]

    def locked_shares(self, user: str, outcome: str) -> int:
        return sum(o.remaining for o in self.orders_of(user) if o.side == SELL and o.outcome == outcome)

    def free_shares(self, user: str, outcome: str) -> int:
        return self.position(user).held(outcome) - self.locked_shares(user, outcome)

    def locked_points(self, user: str) -> int:
        return sum(o.price * o.remaining // UNIT for o in self.orders_of(user) if o.side == BUY)

    def makers_for(self, acquired: str) -> list[Order]:
        """The bids for the opposite of what a taker acquires: best price first, then the older place."""
        bids = [order for order in self.orders if order.acquires == other(acquired)]
        return sorted(bids, key=lambda order: (-order.bid, order.priority_seq))

    def copy(self) -> Market:
        return replace(
            self,
            positions={user: replace(position) for user, position in self.positions.items()},
            orders=[replace(order) for order in self.orders],
        )


@dataclass(slots=True)
class World:
    """Every account (points, locked ones included), every market, and the points ever granted."""

    points: dict[str, int] = field(default_factory=dict)
    granted: int = 0
    markets: dict[str, Market] = field(default_factory=dict)

    def locked(self, user: str) -> int:
        return sum(market.locked_points(user) for market in self.markets.values())

    def available(self, user: str) -> int:
        return self.points.get(user, 0) - self.locked(user)

    def pay(self, user: str, amount: int) -> None:
        self.points[user] = self.points.get(user, 0) + amount

    def copy(self) -> World:
        return World(dict(self.points), self.granted, {key: m.copy() for key, m in self.markets.items()})


@dataclass(slots=True)
class Fill:
    """One fill of one order. `cost` of a SELL is its gross proceeds."""

    order_id: str
    user: str
    venue: str
    liquidity: str
    kind: str
    side: str
    outcome: str
    quantity: int
    cost: int
    fee: int
    netted: int


class Refused(Exception):
    """A refusal, with every code that would be a fair answer (the design leaves their precedence open)."""

    def __init__(self, *codes: str) -> None:
        super().__init__(*codes)
        self.codes = frozenset(codes)


def require_all(*checks: Callable[[], object]) -> None:
    """Refuse with the codes of every check that refuses."""
    codes: set[str] = set()
    for check in checks:
        try:
            check()
        except Refused as refused:
            codes |= refused.codes
    if codes:
        raise Refused(*codes)


def require(**failures: bool) -> None:
    """Refuse with all the codes whose condition holds."""
    codes = [code for code, failed in failures.items() if failed]
    if codes:
        raise Refused(*codes)
