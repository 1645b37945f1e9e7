"""Markets, books, trades."""

from typing import Annotated, Literal

from pydantic import Field

from api_gateway.answers.base import Count, Id, Micros, Shape, Time

Side = Literal["BUY", "SELL"]
Outcome = Literal["YES", "NO"]
MarketStatus = Literal["DRAFT", "ACTIVE", "PAUSED", "RESOLVED", "CANCELLED"]
Level = Annotated[
    list[Count], Field(min_length=2, max_length=2, description="[price_micros, quantity_micros]")
]


MergedLevel = Annotated[
    list[Count],
    Field(
        min_length=4, max_length=4, description="[price_micros, quantity_micros, of the book, of the pool]"
    ),
]


class Pool(Shape):
    """The reserves."""

    yes_micros: Count
    no_micros: Count


class LiveMarket(Shape):
    """A market as order_service knows it."""

    market_id: Id
    question: str
    description: str
    rules: str
    resolution_source: str
    category: str
    status: MarketStatus
    reason: str | None
    outcome: Literal["YES", "NO", "AMBIGUOUS"] | None
    tick_micros: Count
    lot_micros: Count
    fee_bps: Count
    liquidity_micros: Count
    initial_probability_micros: Count
    opens_at: Time | None
    closes_at: Time | None
    created_at: Time | None
    created_by: Id
    probability_micros: Count = Field(description="Of YES.")
    volume_micros: Count
    last_price_micros: Count | None
    collateral_micros: Count
    pool: Pool
    settled: bool
    seq: Count


class HouseOf(Shape):
    """What the house holds in a market; administrators see it."""

    vault_micros: Count
    treasury_yes_micros: Count
    treasury_no_micros: Count
    treasury_points_micros: Count
    pending_micros: Count
    shard: Count


class AdminMarket(LiveMarket, HouseOf):
    """A market after an administrator's step."""


class Market(LiveMarket):
    """A market. Administrators also get what the house holds in it."""

    volume_24h_micros: Count
    change_24h_micros: Micros = Field(description="Of the probability.")
    vault_micros: Count = 0
    treasury_yes_micros: Count = 0
    treasury_no_micros: Count = 0
    treasury_points_micros: Count = 0
    pending_micros: Count = 0
    shard: Count = 0


class Book(Shape):
    """A book in YES prices, best first."""

    market_id: Id
    epoch: Count | None = Field(description="Null: a past book.")
    seq: Count
    time: Time | None
    status: MarketStatus
    bids: list[Level] | list[MergedLevel]
    asks: list[Level] | list[MergedLevel]
    pool: Pool
    probability_micros: Count = Field(default=0, description="Of a past book only: P_YES.")


class Ticker(Shape):
    """A market in figures. The best prices are those of book and pool together, on the tick."""

    market_id: Id
    seq: Count
    status: MarketStatus
    probability_micros: Count
    best_bid_micros: Count | None
    best_ask_micros: Count | None
    mid_micros: Count | None
    last_price_micros: Count | None
    change_24h_micros: Micros
    volume_24h_micros: Count
    volume_micros: Count
    open_interest_micros: Count
    time: Time | None


class Holder(Shape):
    """What one user holds."""

    user_id: Id
    display_name: str
    yes_micros: Count
    no_micros: Count


class Trade(Shape):
    """One match."""

    trade_id: Id
    market_id: Id
    seq: Count
    venue: Literal["BOOK", "POOL"]
    kind: Literal["MINT", "MERGE", "COMPLEMENTARY", "POOL"]
    outcome: Outcome
    taker_side: Side
    price_micros: Count
    quantity_micros: Count
    time: Time


class Solvency(Shape):
    """Whether what a market owes is covered, from one moment of the database."""

    market_id: Id
    seq: Count
    status: MarketStatus
    collateral_micros: Count = Field(description="Points that back the shares.")
    users_yes_micros: Micros
    users_no_micros: Micros
    pool_yes_micros: Count
    pool_no_micros: Count
    treasury_yes_micros: Count
    treasury_no_micros: Count
    is_solvent: bool = Field(description="YES = NO = collateral; or everything that is owed has been paid.")
