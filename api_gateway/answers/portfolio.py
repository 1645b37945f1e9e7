"""What the caller owns, and how it came."""

from typing import Literal

from pydantic import Field

from api_gateway.answers.base import Count, Id, Micros, Shape, Time


class Position(Shape):
    """Shares of one market; locked ones back SELL orders."""

    market_id: Id
    yes_micros: Count
    no_micros: Count
    locked_yes_micros: Count
    locked_no_micros: Count
    cost_basis_yes_micros: Count
    cost_basis_no_micros: Count
    realized_pnl_micros: Micros
    mark_micros: Count


class Portfolio(Shape):
    """Balances and holdings of one moment."""

    available_micros: Count
    locked_micros: Count
    equity_micros: Count
    unrealized_pnl_micros: Micros
    realized_pnl_micros: Micros
    user_seq: Count = Field(description="That of the last private event it includes.")
    positions: list[Position]


class LedgerRow(Shape):
    """One change of the caller's points or shares."""

    event_seq: Count
    market_id: Id
    kind: str
    points_micros: Micros
    yes_micros: Micros
    no_micros: Micros
    balance_after_micros: Count
    time: Time


class Settlement(Shape):
    """What a decided market paid the caller."""

    market_id: Id
    question: str
    status: Literal["RESOLVED", "CANCELLED"]
    outcome: Literal["YES", "NO", "AMBIGUOUS"] | None
    points_micros: Count
    yes_micros: Count = Field(description="YES given up for it.")
    no_micros: Count
    time: Time
