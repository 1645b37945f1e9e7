"""The live state of a shard: markets with their two ladders, orders, positions, and accounts.

All of it is mutable and changed only through `engine.run.Run`, which saves each row in the journal first.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

from sortedcontainers import SortedDict

from engine import pool
from engine.journal import Journal, Row
from engine.units import MICROS, lot_micros


class Outcome(StrEnum):
    YES = "YES"
    NO = "NO"

    @property
    def opposite(self) -> Outcome:
        return Outcome.NO if self is Outcome.YES else Outcome.YES


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"


class TimeInForce(StrEnum):
    GTC = "GTC"
    GTD = "GTD"
    IOC = "IOC"
    FOK = "FOK"


class SelfTrade(StrEnum):
    """What gives way when the next maker is the taker's own order."""

    CANCEL_TAKER = "CANCEL_TAKER"
    CANCEL_MAKER = "CANCEL_MAKER"


class OrderStatus(StrEnum):
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class MarketStatus(StrEnum):
    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    RESOLVED = "RESOLVED"
    CANCELLED = "CANCELLED"


class Verdict(StrEnum):
    """How a market was resolved."""

    YES = "YES"
    NO = "NO"
    AMBIGUOUS = "AMBIGUOUS"


class Account(Row):
    """A user's points, over all markets (micros). `locked` backs open BUY orders."""

    FIELDS = ("available", "locked")
    __slots__ = ("available", "locked", "user_id")

    def __init__(self, user_id: str, available: int = 0, locked: int = 0) -> None:
        self.touched_by = 0
        self.user_id = user_id
        self.available = available
        self.locked = locked


class Position(Row):
    """A user's shares in one market (micro-shares), their cost basis and the profit taken so far (micros)."""

    FIELDS = ("yes", "no", "locked_yes", "locked_no", "basis_yes", "basis_no", "realized_pnl")
    __slots__ = ("market_id", "user_id", *FIELDS)

    yes: int
    no: int
    locked_yes: int
    locked_no: int
    basis_yes: int
    basis_no: int
    realized_pnl: int

    def __init__(self, market_id: str, user_id: str, values: tuple[int, ...] = (0, 0, 0, 0, 0, 0, 0)) -> None:
        self.touched_by = 0
        self.market_id = market_id
        self.user_id = user_id
        self.restore(values)

    def held(self, outcome: Outcome) -> int:
        return self.yes if outcome is Outcome.YES else self.no

    def locked(self, outcome: Outcome) -> int:
        return self.locked_yes if outcome is Outcome.YES else self.locked_no

    def unlocked(self, outcome: Outcome) -> int:
        return self.held(outcome) - self.locked(outcome)

    def basis(self, outcome: Outcome) -> int:
        return self.basis_yes if outcome is Outcome.YES else self.basis_no

    def add_held(self, outcome: Outcome, quantity: int) -> None:
        if outcome is Outcome.YES:
            self.yes += quantity
        else:
            self.no += quantity

    def add_locked(self, outcome: Outcome, quantity: int) -> None:
        if outcome is Outcome.YES:
            self.locked_yes += quantity
        else:
            self.locked_no += quantity

    def add_basis(self, outcome: Outcome, points: int) -> None:
        if outcome is Outcome.YES:
            self.basis_yes += points
        else:
            self.basis_no += points


class Order(Row):
    """An order. Prices and quantities are in the order's own outcome; `leg` and `bid_micros` say what it acquires.

    `filled + remaining + cancelled = quantity` (an amount order's quantity is what it filled). `locked_points` is what
    an open BUY holds back; an open SELL holds back `remaining` shares.
    """

    leg: Outcome
    """The outcome this order acquires: a SELL acquires the opposite and nets it against what is held."""

    FIELDS = (
        "price_micros",
        "quantity",
        "filled",
        "remaining",
        "cancelled",
        "cost",
        "fee",
        "netted",
        "locked_points",
        "status",
        "reason",
        "priority_seq",
        "expires_at",
        "updated_at",
        "seq",
    )
    __slots__ = (
        "order_id",
        "market_id",
        "user_id",
        "client_order_id",
        "side",
        "outcome",
        "type",
        "time_in_force",
        "post_only",
        "self_trade",
        "amount_micros",
        "created_at",
        "leg",
        *FIELDS,
    )

    price_micros: int
    quantity: int
    filled: int
    remaining: int
    cancelled: int
    cost: int
    fee: int
    netted: int
    locked_points: int
    status: OrderStatus
    reason: str
    priority_seq: int
    expires_at: int
    updated_at: int
    seq: int

    def __init__(
        self,
        *,
        order_id: str,
        market_id: str,
        user_id: str,
        client_order_id: str,
        side: Side,
        outcome: Outcome,
        type: OrderType,
        time_in_force: TimeInForce,
        post_only: bool,
        self_trade: SelfTrade,
        amount_micros: int,
        created_at: int,
        price_micros: int,
        quantity: int,
        expires_at: int,
    ) -> None:
        self.touched_by = 0
        self.order_id = order_id
        self.market_id = market_id
        self.user_id = user_id
        self.client_order_id = client_order_id
        self.side = side
        self.outcome = outcome
        self.type = type
        self.time_in_force = time_in_force
        self.post_only = post_only
        self.self_trade = self_trade
        self.amount_micros = amount_micros
        self.created_at = created_at
        self.leg = outcome if side is Side.BUY else outcome.opposite
        self.price_micros = price_micros
        self.quantity = quantity
        self.filled = 0
        self.remaining = quantity
        self.cancelled = 0
        self.cost = 0
        self.fee = 0
        self.netted = 0
        self.locked_points = 0
        self.status = OrderStatus.OPEN
        self.reason = ""
        self.priority_seq = 0
        self.expires_at = expires_at
        self.updated_at = created_at
        self.seq = 0

    @property
    def bid_micros(self) -> int:
        """What it bids for a share of `leg`."""
        return self.price_micros if self.side is Side.BUY else MICROS - self.price_micros

    @property
    def is_open(self) -> bool:
        return self.remaining > 0


class Market(Row):
    """A market: its terms, lifecycle, pool, collateral and house (all points and shares in micros).

    `seq` is the number of its last event, `last_hash` that event's hash (hex; the chain's head).
    """

    FIELDS = (
        "question",
        "description",
        "rules",
        "resolution_source",
        "category",
        "tick_micros",
        "fee_bps",
        "liquidity_micros",
        "initial_probability_micros",
        "opens_at",
        "closes_at",
        "status",
        "reason",
        "outcome",
        "collateral",
        "pool_yes",
        "pool_no",
        "vault",
        "treasury_yes",
        "treasury_no",
        "treasury_points",
        "pending",
        "volume",
        "last_price_micros",
        "closing_probability_micros",
        "owed",
        "payable",
        "paid",
        "holders_paid",
        "settled",
        "updated_at",
    )
    __slots__ = ("market_id", "created_by", "created_at", "seq", "last_hash", *FIELDS)

    question: str
    description: str
    rules: str
    resolution_source: str
    category: str
    tick_micros: int
    fee_bps: int
    liquidity_micros: int
    initial_probability_micros: int
    opens_at: int
    closes_at: int
    status: MarketStatus
    reason: str
    outcome: str
    collateral: int
    pool_yes: int
    pool_no: int
    vault: int
    treasury_yes: int
    treasury_no: int
    treasury_points: int
    pending: int
    volume: int
    last_price_micros: int
    closing_probability_micros: int
    owed: int
    payable: int
    paid: int
    holders_paid: int
    settled: bool
    updated_at: int

    def __init__(self, market_id: str, created_by: str, created_at: int, values: tuple[Any, ...]) -> None:
        self.touched_by = 0
        self.market_id = market_id
        self.created_by = created_by
        self.created_at = created_at
        self.seq = 0
        self.last_hash = ""
        self.restore(values)

    @property
    def lot_micros(self) -> int:
        return lot_micros(self.tick_micros)

    def reserves(self, acquired: Outcome) -> pool.Reserves:
        """The pool as somebody sees it who acquires `acquired`."""
        if acquired is Outcome.YES:
            return pool.Reserves(self.pool_yes, self.pool_no)
        return pool.Reserves(self.pool_no, self.pool_yes)

    def set_reserves(self, acquired: Outcome, reserves: pool.Reserves) -> None:
        if acquired is Outcome.YES:
            self.pool_yes, self.pool_no = reserves
        else:
            self.pool_no, self.pool_yes = reserves

    @property
    def probability_micros(self) -> int:
        """Published P_YES; a closed pool shows the last one, a DRAFT its initial one."""
        if self.pool_yes and self.pool_no:
            return pool.probability(self.pool_yes, self.pool_no)
        return self.closing_probability_micros or self.initial_probability_micros


_PLACE_BITS: Final = 44
"""Bits of an event number in a ladder key; 2^44 events at 10,000/s last half a century."""


class Ladder:
    """The bids for one outcome, best price first, then by `priority_seq`; `levels` holds each price's open quantity."""

    __slots__ = ("levels", "orders")

    def __init__(self) -> None:
        self.orders: SortedDict = SortedDict()
        self.levels: dict[int, int] = {}

    @staticmethod
    def key(order: Order) -> int:
        """Sorts by price, then by place."""
        return (MICROS - order.bid_micros) << _PLACE_BITS | order.priority_seq

    def best(self) -> Order | None:
        return self.orders.peekitem(0)[1] if self.orders else None

    def change_level(self, bid_micros: int, quantity: int) -> None:
        level = self.levels.get(bid_micros, 0) + quantity
        assert level >= 0, "a level never owes"
        if level:
            self.levels[bid_micros] = level
        else:
            self.levels.pop(bid_micros, None)

    def __iter__(self) -> Iterator[Order]:
        return iter(self.orders.values())


class MarketState:
    """One market with everything that belongs to it. `open_by_user` and the ladders hold open orders only."""

    __slots__ = ("ladders", "market", "open_by_user", "orders", "positions")

    def __init__(self, market: Market) -> None:
        self.market = market
        self.ladders = {Outcome.YES: Ladder(), Outcome.NO: Ladder()}
        self.positions: dict[str, Position] = {}
        self.orders: dict[str, Order] = {}
        self.open_by_user: dict[str, dict[str, Order]] = {}

    def load_order(self, order: Order) -> None:
        """Put an open order in its place, as start-up and replay do."""
        self.orders[order.order_id] = order
        self.open_by_user.setdefault(order.user_id, {})[order.order_id] = order
        ladder = self.ladders[order.leg]
        ladder.orders[Ladder.key(order)] = order
        ladder.change_level(order.bid_micros, order.remaining)


class ShardState:
    """The markets of one shard, and what its current batch touches beside them: accounts, and the sum of all grants."""

    __slots__ = ("accounts", "granted_micros", "journal", "markets")

    def __init__(self) -> None:
        self.markets: dict[str, MarketState] = {}
        self.accounts: dict[str, Account] = {}
        self.granted_micros = 0
        """All grants of all shards so far, which the writer tells before each batch."""
        self.journal = Journal()

    def account(self, user_id: str) -> Account:
        account = self.accounts.get(user_id)
        if account is None:
            account = self.accounts[user_id] = Account(user_id)
        return account
