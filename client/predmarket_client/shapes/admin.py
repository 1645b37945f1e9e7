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
