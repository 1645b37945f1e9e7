"""Events: one accepted command, one event with all its effects, numbered without gaps per market.

The engine returns `Effects`; the writer adds what only it knows (balances after, user_seq, epoch) and makes the event.
Inner rows are JSON arrays in field order, because an event may hold a thousand of them and must stay below 512 KiB.
All after-values are absolute, so folding events is assignment. Users are named once and referred to by index (`user`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1, sha256
from typing import Final

import msgspec
from msgspec import Struct

from engine.commands import AnyCommand, MarketTerms
from engine.state import OrderStatus, OrderType, Outcome, SelfTrade, Side, TimeInForce

EVENT_BYTES_MAX: Final = 512 * 1024
_ROW_BYTES: Final = 256
_FILLED_IN_BYTES: Final = 48
"""What the balances after and the user_seq of an account may add to it: three numbers of 16 digits."""

_ENVELOPE_BYTES: Final = 1_024
"""Ids, hash, time and names around command and effects (some 400 bytes)."""

COUNTER_ACCOUNT: Final = -1
"""The `user` of a ledger row that belongs to the market itself (on a system stream: to issuance)."""


class AccountChange(Struct, frozen=True, array_like=True):
    """Points and shares that one user gained or lost (micros), and his balances and user_seq after it."""

    user: int
    available_delta: int
    locked_delta: int
    yes_delta: int
    no_delta: int
    frames: int
    """User frames this event causes (orders, fills, position, balance); user_seq grows by it."""
    available_after: int = 0
    locked_after: int = 0
    user_seq: int = 0
    """The number of the last of those frames."""


class HouseChange(Struct, frozen=True, array_like=True):
    """How the market's own part changed (micros).

    Points went to collateral, vault, treasury points and pending; shares to the pool and the treasury.
    """

    collateral: int = 0
    pool_yes: int = 0
    pool_no: int = 0
    vault: int = 0
    treasury_yes: int = 0
    treasury_no: int = 0
    treasury_points: int = 0
    pending: int = 0


class MarketAfter(Struct, frozen=True):
    """The market row after the event: the fields of `engine.state.Market`, its terms only when they changed."""

    terms: MarketTerms | None
    status: str
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


class NewOrder(Struct, frozen=True, array_like=True):
    """What never changes of an order; written once, in the event that placed it."""

    order_id: str
    user: int
    client_order_id: str
    side: Side
    outcome: Outcome
    type: OrderType
    time_in_force: TimeInForce
    post_only: bool
    self_trade: SelfTrade
    amount_micros: int


class OrderAfter(Struct, frozen=True, array_like=True):
    """The changing part of an order after the event; the fields of `engine.state.Order`, which come in this order.

    `updated_at` and `seq` are the event's time and seq and are not repeated.
    """

    order_id: str
    user: int
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


class PositionAfter(Struct, frozen=True, array_like=True):
    user: int
    yes: int
    no: int
    locked_yes: int
    locked_no: int
    basis_yes: int
    basis_no: int
    realized_pnl: int


class Fill(Struct, frozen=True, array_like=True):
    """One side of a trade. Price and cost are in the order's own outcome.

    A SELL's cost is what came in, before the fee.
    """

    trade: int
    """Index into `trades` of the event."""
    order_id: str
    user: int
    taker: bool
    side: Side
    outcome: Outcome
    price_micros: int
    quantity: int
    cost: int
    fee: int
    netted: int


class Trade(Struct, frozen=True, array_like=True):
    """One match, told from the taker's side. Its trade_id is uuid5(taker order_id, "seq:index")."""

    order_id: str
    venue: str
    """BOOK or POOL."""
    kind: str
    """MINT, MERGE, COMPLEMENTARY or POOL."""
    outcome: Outcome
    taker_side: Side
    price_micros: int
    quantity: int


class LevelAfter(Struct, frozen=True, array_like=True):
    """The open quantity at one bid price of one ladder after the event (0: the level is gone)."""

    outcome: Outcome
    bid_micros: int
    quantity: int


class Payout(Struct, frozen=True, array_like=True):
    """What one holder was paid by a settlement step, and for what."""

    user: int
    points: int
    yes: int
    no: int
    basis: int


class Effects(Struct, kw_only=True):
    """Everything one accepted command did."""

    users: list[str]
    accounts: list[AccountChange]
    house: HouseChange
    market: MarketAfter | None = None
    new_order: NewOrder | None = None
    orders: list[OrderAfter] = []
    positions: list[PositionAfter] = []
    trades: list[Trade] = []
    fills: list[Fill] = []
    levels: list[LevelAfter] = []
    payouts: list[Payout] = []


@dataclass(frozen=True, slots=True)
class TradeFill:
    """A fill with what its trade adds."""

    trade_id: str
    trade: Trade
    fill: Fill
    user_id: str


class Event(Struct, frozen=True, kw_only=True, dict=True):
    """An event as it is stored, hashed and published. `previous_hash` chains it to the market's event before it."""

    version: int = 1
    market_id: str
    seq: int
    shard: int
    epoch: int
    time: int
    command: AnyCommand
    effects: Effects
    previous_hash: str

    @property
    def kind(self) -> str:
        return str(self.command.__struct_config__.tag)

    @cached_property
    def trade_ids(self) -> list[str]:
        """One for each of the effects' trades."""
        return [trade_id(trade.order_id, self.seq, index) for index, trade in enumerate(self.effects.trades)]

    @cached_property
    def fills(self) -> list[TradeFill]:
        """Every fill, takers and makers. Made once: rows, answers and the bus all ask."""
        effects, ids = self.effects, self.trade_ids
        return [
            TradeFill(ids[fill.trade], effects.trades[fill.trade], fill, effects.users[fill.user])
            for fill in effects.fills
        ]


def trade_id(taker_order_id: str, seq: int, index: int) -> str:
    """The id of the index-th trade of an event: uuid5(taker order_id, "seq:index")."""
    named = bytes.fromhex(taker_order_id.replace("-", "")) + f"{seq}:{index}".encode()
    value = int.from_bytes(sha1(named, usedforsecurity=False).digest()[:16])
    value = (
        value & ~(0xF << 76) | 0x5 << 76
    )  # RFC 9562, version 5: what uuid.uuid5 makes, at a third of its cost
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """The canonical bytes: JSON without spaces, fields in the order declared here."""
    return _encoder.encode(event)


def size_at_most(command: AnyCommand, effects: Effects) -> int:
    """An upper bound of the bytes of the event to be, measured before the writer fills in what only it knows."""
    measured = len(_encoder.encode(command)) + len(_encoder.encode(effects))
    return measured + _FILLED_IN_BYTES * len(effects.accounts) + _ENVELOPE_BYTES


def may_be_large(effects: Effects) -> bool:
    """Whether there are so many rows that the event's size must be measured; no row is longer than 256 bytes."""
    rows = len(effects.orders) + len(effects.positions) + len(effects.trades) + len(effects.fills)
    rows += len(effects.users) + len(effects.accounts) + len(effects.levels) + len(effects.payouts)
    return rows * _ROW_BYTES > EVENT_BYTES_MAX // 2


def decode(payload: bytes | str) -> Event:
    return _decoder.decode(payload)


def hash_of(payload: bytes) -> str:
    """SHA-256 of the canonical bytes (which contain the hash before), in hex."""
    return sha256(payload).hexdigest()
