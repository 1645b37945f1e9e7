"""Refusals: the expected no's of the engine. A refusal is a value and leaves no trace.

The codes stand roughly in the order of the guards. Of several reasons one is given; which one is not promised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Code(StrEnum):
    """Stable codes; the same strings travel on gRPC, REST and WebSocket."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    MARKET_NOT_FOUND = "MARKET_NOT_FOUND"
    MARKET_NOT_ACTIVE = "MARKET_NOT_ACTIVE"
    MARKET_CLOSED = "MARKET_CLOSED"
    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    CONFLICT_OF_INTEREST = "CONFLICT_OF_INTEREST"
    PRICE_NOT_ON_TICK = "PRICE_NOT_ON_TICK"
    AMOUNT_TOO_SMALL = "AMOUNT_TOO_SMALL"
    QUANTITY_NOT_ON_LOT = "QUANTITY_NOT_ON_LOT"
    TOO_MANY_OPEN_ORDERS = "TOO_MANY_OPEN_ORDERS"
    INSUFFICIENT_SHARES = "INSUFFICIENT_SHARES"
    POST_ONLY_WOULD_TAKE = "POST_ONLY_WOULD_TAKE"
    FOK_NOT_FILLABLE = "FOK_NOT_FILLABLE"
    SELF_TRADE = "SELF_TRADE"
    NOTHING_FILLED = "NOTHING_FILLED"
    SLIPPAGE_EXCEEDED = "SLIPPAGE_EXCEEDED"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    TREASURY_SHORTFALL = "TREASURY_SHORTFALL"
    GRANTS_EXHAUSTED = "GRANTS_EXHAUSTED"
    MARKET_THROTTLED = "MARKET_THROTTLED"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was refused: a stable code, a message a person can act on, and figures (strings or ints)."""

    code: Code
    message: str
    details: dict[str, str | int] = field(default_factory=dict)


class Refused(Exception):
    """Unwinds a command that is being applied; `core.Engine.apply` undoes it and returns the refusal as a value."""

    def __init__(self, code: Code, message: str, **details: str | int) -> None:
        super().__init__(message)
        self.refusal = Refusal(code, message, details)


class InvariantBroken(Exception):
    """The pool's product fell. The command is undone and the market must be paused: fail closed."""
