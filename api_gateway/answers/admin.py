"""What administrators are told."""

from typing import Any

from pydantic import Field

from api_gateway.answers.base import Count, Id, Micros, Shape, Time
from api_gateway.answers.markets import AdminMarket, MarketStatus


class Payout(Shape):
    """What one holder gets."""

    user_id: Id
    points_micros: Count
    yes_micros: Count
    no_micros: Count
    basis_micros: Count


class Decision(Shape):
    """Totals of a decision; a dry run names every payout."""

    owed_micros: Count
    payable_micros: Count
    holders: Count
    open_orders: Count
    shortfall_micros: Count
    remainder_micros: Micros
    payouts: list[Payout]


class DecidedMarket(AdminMarket):
    """A market after its decision, or as it would be after it."""

    settlement: Decision


class GrantDone(Shape):
    """Points that were granted."""

    user_id: Id
    seq: Count
    available_micros: Count


class SweepDone(Shape):
    """Revenue that went to the treasury."""

    market_id: Id
    swept_micros: Count
    seq: Count


class AuditRow(Shape):
    """Who did what, why."""

    audit_id: Count
    time: Time
    actor_id: Id
    action: str
    target: str
    reason: str | None
    before: Any
    after: Any
    trace_id: str | None


class Treasury(Shape):
    """The house's own points, and all points there are."""

    user_id: Id
    available_micros: Count
    locked_micros: Count
    in_markets_micros: Count = Field(
        description="The house's points in markets: vaults and treasury points, not yet swept."
    )
    pending_micros: Count = Field(description="Fees that pools will be given.")
    collateral_micros: Count = Field(description="Points that back all shares.")
    granted_micros: Count = Field(description="Points ever granted, over all accounts.")


class RevenueRow(Shape):
    """What one market brings in."""

    market_id: Id
    question: str
    status: MarketStatus
    vault_micros: Count = Field(description="The house's part of the fees, which a sweep moves.")
    treasury_points_micros: Count = Field(description="What settling gave the house, which a sweep moves.")
    pending_micros: Count
    swept_micros: Count
    created_at: Time
