"""What the caller owns, and how it came."""

from datetime import datetime

import msgspec


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of one market; locked ones back SELL orders. `mark_micros`: what they are worth at P_YES."""

    market_id: str
    yes_micros: int
    no_micros: int
    locked_yes_micros: int
    locked_no_micros: int
    cost_basis_yes_micros: int
    cost_basis_no_micros: int
    realized_pnl_micros: int
    mark_micros: int

    def free_micros(self, outcome: str) -> int:
        """Shares of an outcome that no order holds."""
        if outcome == "YES":
            return self.yes_micros - self.locked_yes_micros
        return self.no_micros - self.locked_no_micros


class Portfolio(msgspec.Struct, frozen=True, kw_only=True):
    """Balances and positions of one moment; `user_seq` is that of the last private event in it."""

    available_micros: int
    locked_micros: int
    equity_micros: int
    unrealized_pnl_micros: int
    realized_pnl_micros: int
    positions: tuple[Position, ...]
    user_seq: int = 0

    def position(self, market_id: str) -> Position | None:
        """None without one in that market."""
        return next((held for held in self.positions if held.market_id == market_id), None)


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the caller's points or shares."""

    event_seq: int
    market_id: str
    kind: str
    points_micros: int
    yes_micros: int
    no_micros: int
    balance_after_micros: int | None
    time: datetime


class PastSettlement(msgspec.Struct, frozen=True, kw_only=True):
    """What a decided market paid the caller for the shares given up."""

    market_id: str
    question: str
    status: str
    outcome: str | None
    points_micros: int
    yes_micros: int
    no_micros: int
    time: datetime
