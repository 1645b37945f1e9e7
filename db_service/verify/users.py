"""Accounts by the events: every user's changes, from all markets and shards, in the order of his own numbers."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from db_service.verify.report import Check, Report
from engine.commands import GrantPoints
from engine.events import Event
from engine.state import MarketState
from runtime.postgres import Connection


class Change(NamedTuple):
    """What one event did to one account."""

    user_seq: int
    frames: int
    available_delta: int
    locked_delta: int
    available_after: int
    locked_after: int
    event: str


class Users:
    """Collects the changes while markets are read; compares them with the accounts at the end."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._changes: defaultdict[str, list[Change]] = defaultdict(list)
        self._locks: defaultdict[str, int] = defaultdict(int)
        self._granted = 0
        self._in_markets = 0

    def add(self, event: Event) -> None:
        """One event's changes."""
        if isinstance(event.command, GrantPoints):
            self._granted += event.command.amount_micros
        for change in event.effects.accounts:
            self._changes[event.effects.users[change.user]].append(
                Change(
                    change.user_seq,
                    change.frames,
                    change.available_delta,
                    change.locked_delta,
                    change.available_after,
                    change.locked_after,
                    f"market {event.market_id} event {event.seq}",
                )
            )

    def add_market(self, state: MarketState) -> None:
        """What a market holds, and what its open orders lock."""
        market = state.market
        self._in_markets += market.collateral + market.vault + market.pending + market.treasury_points
        for order in state.orders.values():
            self._locks[order.user_id] += order.locked_points

    async def finish(self, connection: Connection, *, complete: bool) -> None:
        """Compares with the accounts. `complete`: every market could be read."""
        rows = await connection.fetch("SELECT * FROM accounts")
        accounts = {
            str(row["user_id"]): (row["available_micros"], row["locked_micros"], row["user_seq"])
            for row in rows
        }
        in_accounts = sum(available + locked for available, locked, _ in accounts.values())
        if not complete:
            return
        total = in_accounts + self._in_markets
        words = f"{total} points are there, {self._granted} were granted"
        self._report.expect(Check.SUPPLY, total == self._granted, words)
        for user in sorted(accounts.keys() | self._changes.keys()):
            self._compare(user, accounts.get(user, (0, 0, 0)))

    def _compare(self, user: str, stored: tuple[int, int, int]) -> None:
        available = locked = user_seq = 0
        for change in sorted(self._changes[user]):
            user_seq += change.frames
            available += change.available_delta
            locked += change.locked_delta
            expected = (user_seq, available, locked)
            found = (change.user_seq, change.available_after, change.locked_after)
            words = f"user {user}, {change.event}: (user_seq, available, locked) {found}, not {expected}"
            if not self._report.expect(Check.FRAMES, expected == found, words):
                break
        sums = (
            sum(change.available_delta for change in self._changes[user]),
            sum(change.locked_delta for change in self._changes[user]),
            sum(change.frames for change in self._changes[user]),
        )
        words = f"user {user}: (available, locked, user_seq) {stored}, by the events {sums}"
        self._report.expect(Check.ACCOUNTS, stored == sums, words)
        locks = self._locks[user]
        words = f"user {user} locks {stored[1]} for open orders of {locks}"
        self._report.expect(Check.ACCOUNTS, stored[1] == locks, words)
