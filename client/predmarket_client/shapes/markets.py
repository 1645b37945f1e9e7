"""Markets, books, trades."""

from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from predmarket_client.units import POINT_MICROS

Side = Literal["BUY", "SELL"]
Outcome = Literal["YES", "NO"]
MarketStatus = Literal["DRAFT", "ACTIVE", "PAUSED", "RESOLVED", "CANCELLED"]
Level = tuple[int, int]
"""(price, quantity), both in micros."""


class Pool(msgspec.Struct, frozen=True):
    """The reserves of the constant-product pool."""

    yes_micros: int
    no_micros: int


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities and prices are of YES. Times are UTC."""

    market_id: str
    question: str
    description: str
    rules: str
    resolution_source: str
    category: str
    status: str
    reason: str | None
    outcome: str | None
    tick_micros: int
    lot_micros: int
    fee_bps: int
    liquidity_micros: int
    initial_probability_micros: int
    opens_at: datetime | None
    closes_at: datetime | None
    created_at: datetime | None
    created_by: str
    probability_micros: int
    volume_micros: int
    seq: int
    volume_24h_micros: int = 0
    change_24h_micros: int = 0
    last_price_micros: int | None = None
    collateral_micros: int = 0
    pool: Pool = Pool(0, 0)
    settled: bool = False

    def price_micros(self, outcome: Outcome) -> int:
        """What an outcome is worth by the market's probability, rounded down to the tick."""
        yes = self.probability_micros
        worth = yes if outcome == "YES" else POINT_MICROS - yes
        return worth // self.tick_micros * self.tick_micros


class AdminMarket(Market, frozen=True, kw_only=True):
    """With what the house holds there."""

    vault_micros: int = 0
    treasury_yes_micros: int = 0
    treasury_no_micros: int = 0
    treasury_points_micros: int = 0
    pending_micros: int = 0
    shard: int = 0


class BookSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The book at one event, in YES prices, best first: a NO bid at p is a YES ask at 1 - p."""

    market_id: str
    epoch: int
    seq: int
    time: datetime | None
    status: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    pool: Pool


class MergedLevel(NamedTuple):
    """What can be traded at a price, and where: `quantity_micros` of it in the book and in the pool."""

    price_micros: int
    quantity_micros: int
    book_micros: int
    pool_micros: int


class MergedBook(msgspec.Struct, frozen=True, kw_only=True):
    """As BookSnapshot, with what the pool trades while its price moves to each level from the one before."""

    market_id: str
    epoch: int
    seq: int
    time: datetime | None
    status: str
    bids: tuple[MergedLevel, ...]
    asks: tuple[MergedLevel, ...]
    pool: Pool


class MarketTicker(msgspec.Struct, frozen=True, kw_only=True):
    """A market in figures. The best prices are those of book and pool together; None: there is none."""

    market_id: str
    seq: int
    status: str
    probability_micros: int
    best_bid_micros: int | None
    best_ask_micros: int | None
    mid_micros: int | None
    last_price_micros: int | None
    change_24h_micros: int
    volume_24h_micros: int
    volume_micros: int
    open_interest_micros: int
    time: datetime | None


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """What one user holds."""

    user_id: str
    display_name: str
    yes_micros: int
    no_micros: int


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One match. `venue` is BOOK or POOL, `kind` MINT, MERGE, COMPLEMENTARY or POOL; the price is of `outcome`."""

    trade_id: str
    market_id: str
    seq: int
    venue: str
    kind: str
    outcome: Outcome
    taker_side: Side
    price_micros: int
    quantity_micros: int
    time: datetime


class Solvency(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what a market owes is covered: YES = NO = collateral, or everything owed has been paid."""

    market_id: str
    seq: int
    status: str
    collateral_micros: int
    users_yes_micros: int
    users_no_micros: int
    pool_yes_micros: int
    pool_no_micros: int
    treasury_yes_micros: int
    treasury_no_micros: int
    is_solvent: bool
