"""What administrators are told."""

from datetime import datetime
from typing import Any

import msgspec

from predmarket_client.shapes.markets import AdminMarket


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """What one holder gets."""

    user_id: str
    points_micros: int
    yes_micros: int
    no_micros: int
    basis_micros: int


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The totals of a decision; a dry run names every payout."""

    owed_micros: int
    payable_micros: int
    holders: int
    open_orders: int
    shortfall_micros: int
    remainder_micros: int
    payouts: tuple[Payout, ...] = ()


class SettledMarket(AdminMarket, frozen=True, kw_only=True):
    """A market after its decision, or as it would be after it."""

    settlement: Settlement


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Points that were granted."""

    user_id: str
    seq: int
    available_micros: int


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """Revenue that went to the treasury."""

    market_id: str
    swept_micros: int
    seq: int


class Treasury(msgspec.Struct, frozen=True, kw_only=True):
    """The house's own points. `in_markets_micros` is not swept yet, `pending_micros` will go to pools,
    `granted_micros` is what was ever granted to anybody."""

    user_id: str
    available_micros: int
    locked_micros: int
    in_markets_micros: int
    pending_micros: int
    collateral_micros: int
    granted_micros: int


class Revenue(msgspec.Struct, frozen=True, kw_only=True):
    """What one market brings the house: `vault_micros` and `treasury_points_micros` wait for a sweep."""

    market_id: str
    question: str
    status: str
    vault_micros: int
    treasury_points_micros: int
    pending_micros: int
    swept_micros: int
    created_at: datetime


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, why."""

    audit_id: int
    time: datetime
    actor_id: str
    action: str
    target: str
    reason: str | None
    before: Any
    after: Any
    trace_id: str | None
