"""Commands: what may be asked of a market. Plain frozen data.

Ids are passed in; an absent number is 0, an absent text is "".

`actor_id` is who asks (a user, an admin, or `SYSTEM_ID` for the engine's own jobs); the caller has checked the role.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from engine.state import OrderType, Outcome, SelfTrade, Side, TimeInForce, Verdict
from engine.units import MICROS

SYSTEM_ID: Final = "00000000-0000-4000-8000-000000000000"
"""The actor of the engine's own jobs (expiry, closing, settlement steps)."""

TREASURY_ID: Final = "00000000-0000-4000-8000-000000000001"
"""The account that pays genesis liquidity and owns the pools; it cannot log in."""


def system_stream_id(shard: int) -> str:
    """The reserved market id whose stream holds a shard's grants."""
    return f"00000000-0000-4000-9000-{shard:012d}"


class Command(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every command names: the market whose stream it joins, and who asks."""

    market_id: str
    actor_id: str


class PlaceOrder(Command, frozen=True, kw_only=True, tag="PLACE_ORDER"):
    """Acquire shares of `outcome` (BUY) or give them back (SELL).

    LIMIT: `price_micros` and `quantity_micros` (whole lots). MARKET: `amount_micros` to spend (BUY, fee included), or
    `quantity_micros`, or `close_position` (SELL of everything not locked).
    """

    order_id: str
    side: Side
    outcome: Outcome
    type: OrderType
    time_in_force: TimeInForce = TimeInForce.GTC
    price_micros: int = 0
    quantity_micros: int = 0
    amount_micros: int = 0
    close_position: bool = False
    post_only: bool = False
    self_trade: SelfTrade = SelfTrade.CANCEL_TAKER
    expires_at: int = 0
    max_slippage_bps: int = 100
    expected_price_micros: int = 0
    client_order_id: str = ""


class AmendOrder(Command, frozen=True, kw_only=True, tag="AMEND_ORDER"):
    """State the new total quantity and/or price (0: as it is). A decrease alone keeps its place."""

    order_id: str
    price_micros: int = 0
    quantity_micros: int = 0


class CancelOrder(Command, frozen=True, kw_only=True, tag="CANCEL_ORDER"):
    order_id: str


class CancelAllOrders(Command, frozen=True, kw_only=True, tag="CANCEL_ALL_ORDERS"):
    """Cancel every open order of `user_id` in the market (at most 200)."""

    user_id: str
    reason: str = "CANCELLED_BY_USER"


class MintSets(Command, frozen=True, kw_only=True, tag="MINT_SETS"):
    """Pay `quantity_micros` points for as many YES and NO."""

    quantity_micros: int


class MergeSets(Command, frozen=True, kw_only=True, tag="MERGE_SETS"):
    """Give back `quantity_micros` YES and NO for as many points."""

    quantity_micros: int


class MarketTerms(Struct, frozen=True, kw_only=True):
    """What an admin says of a market. Times are microseconds since the epoch; `closes_at` 0: never closes by itself."""

    question: str
    description: str = ""
    rules: str = ""
    resolution_source: str = ""
    category: str = ""
    tick_micros: int = 10_000
    fee_bps: int = 200
    liquidity_micros: int
    initial_probability_micros: int = MICROS // 2
    opens_at: int = 0
    closes_at: int = 0


class CreateMarket(Command, frozen=True, kw_only=True, tag="CREATE_MARKET"):
    terms: MarketTerms


class EditMarket(Command, frozen=True, kw_only=True, tag="EDIT_MARKET"):
    """The whole new terms. Once activated only `description` and `closes_at` may differ."""

    terms: MarketTerms


class DeleteMarket(Command, frozen=True, kw_only=True, tag="DELETE_MARKET"):
    """Withdraw a DRAFT: it ends CANCELLED and, never having opened, stays hidden."""


class ActivateMarket(Command, frozen=True, kw_only=True, tag="ACTIVATE_MARKET"):
    """Open a DRAFT: the treasury pays its liquidity."""


class PauseMarket(Command, frozen=True, kw_only=True, tag="PAUSE_MARKET"):
    """`reason` CLOSED (the closing job) also lets its orders be released."""

    reason: str = "PAUSED_BY_ADMIN"


class ResumeMarket(Command, frozen=True, kw_only=True, tag="RESUME_MARKET"):
    pass


class ResolveMarket(Command, frozen=True, kw_only=True, tag="RESOLVE_MARKET"):
    outcome: Verdict
    reason: str = ""


class CancelMarket(Command, frozen=True, kw_only=True, tag="CANCEL_MARKET"):
    """Give holders their cost basis back. `pro_rata`: share what is there when it does not suffice."""

    pro_rata: bool = False
    reason: str = ""


class ExpireOrders(Command, frozen=True, kw_only=True, tag="EXPIRE_ORDERS"):
    """Expire up to `limit` orders whose time has come."""

    limit: int


class ReleaseOrders(Command, frozen=True, kw_only=True, tag="RELEASE_ORDERS"):
    """Cancel up to `limit` open orders of a market that is closed or decided."""

    limit: int


class PayHolders(Command, frozen=True, kw_only=True, tag="PAY_HOLDERS"):
    """Pay up to `limit` holders of a decided market; the last step settles it."""

    limit: int


class SweepMarket(Command, frozen=True, kw_only=True, tag="SWEEP_MARKET"):
    """Move the market's vault and treasury points to the treasury's account."""


class GrantPoints(Command, frozen=True, kw_only=True, tag="GRANT_POINTS"):
    """Issue points to an account (negative: take back, never below zero), on a system stream."""

    user_id: str
    grant: str
    """SIGNUP, GENESIS, PROMOTION, REWARD or CORRECTION."""
    amount_micros: int
    reason: str = ""


AnyCommand = (
    PlaceOrder
    | AmendOrder
    | CancelOrder
    | CancelAllOrders
    | MintSets
    | MergeSets
    | CreateMarket
    | EditMarket
    | DeleteMarket
    | ActivateMarket
    | PauseMarket
    | ResumeMarket
    | ResolveMarket
    | CancelMarket
    | ExpireOrders
    | ReleaseOrders
    | PayHolders
    | SweepMarket
    | GrantPoints
)
