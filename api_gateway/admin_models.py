"""Bodies and queries of /v1/admin. Lengths and rules of terms are the engine's to judge; sizes are bounded here."""

from typing import Literal

from pydantic import Field

from api_gateway.models import AMOUNT_MAX_MICROS, Amount, Id, Page, Reason, Strict, Time, Word


class Terms(Strict):
    """A market's terms."""

    question: str = Field(min_length=1, max_length=300)
    description: str = Field(default="", max_length=10_000)
    rules: str = Field(default="", max_length=10_000)
    resolution_source: str = Field(default="", max_length=1_000)
    category: str = Field(default="", max_length=60)
    tick_micros: Literal[10_000, 1_000] = 10_000
    fee_bps: int | None = Field(default=None, ge=0, le=1_000)
    liquidity_micros: Amount
    initial_probability_micros: int = Field(default=500_000, ge=1_000, le=999_000)
    opens_at: Time | None = None
    closes_at: Time | None = None


class EditTerms(Strict):
    """What is absent stays; null takes a time away."""

    question: str | None = Field(default=None, min_length=1, max_length=300)
    description: str | None = Field(default=None, max_length=10_000)
    rules: str | None = Field(default=None, max_length=10_000)
    resolution_source: str | None = Field(default=None, max_length=1_000)
    category: str | None = Field(default=None, max_length=60)
    tick_micros: Literal[10_000, 1_000] | None = None
    fee_bps: int | None = Field(default=None, ge=0, le=1_000)
    liquidity_micros: Amount | None = None
    initial_probability_micros: int | None = Field(default=None, ge=1_000, le=999_000)
    opens_at: Time | None = None
    closes_at: Time | None = None


class Step(Strict):
    """Activate, pause, resume."""

    dry_run: bool = False


class Resolve(Strict):
    """A decision."""

    outcome: Literal["YES", "NO", "AMBIGUOUS"]
    reason: Reason
    dry_run: bool = False


class CancelMarket(Strict):
    """`pro_rata`: share what is there when it does not suffice."""

    reason: Reason
    pro_rata: bool = False
    dry_run: bool = False


class Grant(Strict):
    """Points; a negative amount takes back."""

    kind: Literal["PROMOTION", "REWARD", "CORRECTION"]
    amount_micros: int = Field(ge=-AMOUNT_MAX_MICROS, le=AMOUNT_MAX_MICROS)
    reason: Reason


class Sweep(Strict):
    """Which market's revenue."""

    market_id: Id


class SetRole(Strict):
    """Another role."""

    role: Literal["user", "analyst", "admin"]
    reason: Reason


class Suspension(Strict):
    """Why; it stays in the audit log."""

    reason: Reason


class UsersPage(Page):
    """Which accounts."""

    q: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Part of the e-mail address or display name, or a whole user_id.",
    )
    role: Literal["user", "analyst", "admin", "treasury"] | None = None
    status: Literal["ACTIVE", "SUSPENDED"] | None = None


class AuditPage(Page):
    """Which rows of the audit log."""

    actor_id: Id | None = None
    target: Word | None = None
    action: Word | None = None
