"""What was checked, and what is broken."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from rich.console import Console
from rich.table import Table

EXAMPLES_MAX: Final = 20


class Check(Enum):
    """Every check, in the order of the table, with what it compares."""

    SEQ = "event numbers have no gaps per market"
    COMMIT_SEQ = "commit numbers have no gaps per shard"
    HASH = "each event's hash covers its bytes and the hash before"
    EVENT = "an event's columns say what its bytes say"
    ZERO_SUM = "per event, points, YES and NO each sum to zero, and the house's part adds up"
    EFFECTS = "shares, the house's part and payouts of an event are what it changed"
    POOL = "the pool's product never falls while it trades"
    FEES = "each fee is what the rule asks; the vault gets half of it, the odd micro too"
    LEDGER = "the ledger's rows are those of the events"
    FILLS = "fills and trades are those of the events"
    ORDERS = "orders are as the events left them"
    MARKET = "markets and their house are as the events left them"
    POSITIONS = "positions are as the events left them"
    INVARIANTS = "a market's shares, locks and book are sound"
    ACCOUNTS = "an account is the sum of its ledger, and locks what its orders need"
    FRAMES = "user numbers have no gaps, balances after each event add up"
    SUPPLY = "points in accounts and markets are the points granted"
    ISSUANCE = "the sum of all grants is what was issued"
    KEYS = "idempotency keys name events of their kind and user"


@dataclass(slots=True)
class Result:
    """One check: how many things it looked at, how many were broken, and the first of them in words."""

    looked_at: int = 0
    broken: int = 0
    examples: list[str] = field(default_factory=list)


class Report:
    """All checks."""

    def __init__(self) -> None:
        self.results = {check: Result() for check in Check}

    def expect(self, check: Check, holds: bool, words: str) -> bool:
        """Count one thing looked at; `words` says what is wrong when it does not hold."""
        result = self.results[check]
        result.looked_at += 1
        if not holds:
            result.broken += 1
            if len(result.examples) < EXAMPLES_MAX:
                result.examples.append(words)
        return holds

    def broken(self) -> list[Check]:
        """The checks that failed."""
        return [check for check, result in self.results.items() if result.broken]

    def print(self, console: Console) -> None:
        """A table, then what is broken."""
        table = Table(title="verify", title_justify="left")
        table.add_column("check")
        table.add_column("compared", justify="right")
        table.add_column("broken", justify="right")
        for check, result in self.results.items():
            broken = f"[red]{result.broken:,}[/red]" if result.broken else "[green]0[/green]"
            table.add_row(check.value, f"{result.looked_at:,}", broken)
        console.print(table)
        for check in self.broken():
            console.print(f"[red]{check.value}[/red]:")
            for example in self.results[check].examples:
                console.print(f"  {example}", markup=False, highlight=False)
