"""One market (or system stream): its events folded, and compared row by row with what the tables hold of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from db_service.store.loading import load_market
from db_service.store.rows import BatchRows, StoredEvent, rows_of
from db_service.verify import effects
from db_service.verify.report import Check, Report
from db_service.verify.users import Users
from engine.check import check
from engine.core import is_system_stream
from engine.events import Event, decode, hash_of
from engine.hashing import state_hash
from engine.replay import BrokenLog, fold
from engine.state import Market, MarketState, Position, ShardState
from runtime.postgres import Connection

CHUNK: Final = 500
_DECIDED: Final = ("RESOLVED", "CANCELLED")


class MarketCheck:
    """Reads the events of one market in chunks; each is folded, and its rows compared."""

    def __init__(self, connection: Connection, report: Report, users: Users, market_id: str) -> None:
        self._connection = connection
        self._report = report
        self._users = users
        self._market_id = market_id
        self._state = ShardState()
        self._hash = ""
        self._seq = 0
        self._orders: dict[str, tuple[Any, ...]] = {}
        self._new_orders: dict[str, tuple[Any, ...]] = {}
        self._last_trade_seq = 0

    async def run(self) -> MarketState | None:
        """Everything about this market; returns its state, None when its events cannot be read."""
        whole = True
        while whole:
            rows = await self._connection.fetch(
                "SELECT * FROM events WHERE market_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
                self._market_id,
                self._seq,
                CHUNK,
            )
            if not rows:
                break
            events: list[StoredEvent] = []
            for row in rows:
                event = self._read(row)
                if event is None:
                    whole = False
                    break
                events.append(StoredEvent(event, row["commit_seq"], row["payload"], row["hash"]))
            if events:
                await self._compare(rows_of(events), events[0].event.seq, events[-1].event.seq)
        if not whole:
            return None
        await self._finish()
        return self._state.markets.get(self._market_id)

    def _read(self, row: asyncpg.Record) -> Event | None:
        """The row's event, folded; None when it cannot be trusted, and neither can what follows."""
        report, name = self._report, f"market {self._market_id} event {row['seq']}"
        if not report.expect(Check.SEQ, row["seq"] == self._seq + 1, f"{name} follows {self._seq}"):
            return None
        self._seq = row["seq"]
        payload = row["payload"].encode()
        if not report.expect(Check.HASH, hash_of(payload) == row["hash"], f"{name}: another hash"):
            return None
        try:
            event = decode(payload)
        except msgspec.MsgspecError as error:
            report.expect(Check.EVENT, False, f"{name}: unreadable ({error})")
            return None
        chained = event.previous_hash == self._hash
        report.expect(Check.HASH, chained, f"{name}: does not cover the event before")
        self._hash = row["hash"]
        said = (event.market_id, event.seq, event.shard, event.epoch, event.time, event.kind)
        stored = (str(row["market_id"]), *(row[c] for c in ("seq", "shard_id", "epoch", "time", "kind")))
        same = said == stored and event.command.actor_id == str(row["actor_id"])
        report.expect(Check.EVENT, same, f"{name}: its columns say {stored}, its bytes {said}")
        return event if same and self._fold(event, name) else None

    def _fold(self, event: Event, name: str) -> bool:
        before = self._pool()
        was = effects.before(event, self._state.markets.get(self._market_id))
        try:
            fold(self._state, event)
        except BrokenLog as error:
            self._report.expect(Check.EVENT, False, f"{name}: {error}")
            return False
        after = self._pool()
        if before[0] and after[0]:
            grew = after[0] * after[1] >= before[0] * before[1]
            self._report.expect(Check.POOL, grew, f"{name}: k fell from {before} to {after}")
        wrong = list(effects.broken(event, was, self._state.markets[self._market_id]))
        self._report.expect(Check.EFFECTS, not wrong, f"{name}: {'; '.join(wrong[:3])}")
        self._house(event, name)
        if was.market is not None:
            self._fee(event, was.market.fee_bps, name)
        self._users.add(event)
        return True

    def _pool(self) -> tuple[int, int]:
        state = self._state.markets.get(self._market_id)
        return (state.market.pool_yes, state.market.pool_no) if state else (0, 0)

    def _house(self, event: Event, name: str) -> None:
        house, did = event.effects.house, event.effects
        if is_system_stream(event.market_id) or did.market is None:
            return
        points = sum(change.available_delta + change.locked_delta for change in did.accounts)
        kept = house.collateral + house.vault + house.pending + house.treasury_points
        self._report.expect(Check.ZERO_SUM, points + kept == 0, f"{name}: points {points}, house {kept}")
        if did.market.status in _DECIDED:
            return
        for outcome, pool, treasury in (
            ("yes", house.pool_yes, house.treasury_yes),
            ("no", house.pool_no, house.treasury_no),
        ):
            held = sum(getattr(change, f"{outcome}_delta") for change in did.accounts) + pool + treasury
            right = held == house.collateral
            self._report.expect(Check.ZERO_SUM, right, f"{name}: {held} {outcome} for {house.collateral}")

    def _fee(self, event: Event, fee_bps: int, name: str) -> None:
        """What the fills show is what the rule asks, and half of it is in the vault, the odd micro too."""
        if not event.effects.fills:
            return
        fee, due = sum(fill.fee for fill in event.effects.fills), effects.fee_due(event, fee_bps)
        self._report.expect(Check.FEES, fee == due, f"{name}: a fee of {fee}, due was {due}")
        vault = event.effects.house.vault
        self._report.expect(Check.FEES, vault == fee - fee // 2, f"{name}: {vault} of a fee of {fee}")

    async def _compare(self, expected: BatchRows, first: int, last: int) -> None:
        """The rows that are written once, of one chunk of events."""
        self._orders.update(expected.orders)
        self._new_orders.update(expected.new_orders)
        self._last_trade_seq = expected.markets[self._market_id].last_trade_seq or self._last_trade_seq
        for rows_expected, table, seq, which in (
            (expected.ledger, "trade_ledger", "event_seq", Check.LEDGER),
            (expected.fills, "fills", "seq", Check.FILLS),
            (expected.trades, "trades", "seq", Check.FILLS),
        ):
            found = await self._connection.fetch(
                f"SELECT * FROM {table} WHERE market_id = $1 AND {seq} BETWEEN $2 AND $3",
                self._market_id,
                first,
                last,
            )
            self._same(which, table, rows_expected, found)
        sums = await self._connection.fetch(
            "SELECT event_seq, sum(points_micros) = 0 AND sum(yes_micros) = 0 AND sum(no_micros) = 0 AS zero"
            " FROM trade_ledger WHERE market_id = $1 AND event_seq BETWEEN $2 AND $3 GROUP BY event_seq",
            self._market_id,
            first,
            last,
        )
        for row in sums:
            words = f"market {self._market_id} event {row['event_seq']}: the ledger does not sum to zero"
            self._report.expect(Check.ZERO_SUM, row["zero"], words)

    def _same(
        self, which: Check, table: str, expected: Sequence[tuple[Any, ...]], found: Iterable[asyncpg.Record]
    ) -> None:
        left = Counter(expected)
        for row in found:
            values = plain(row)
            known = left[values] > 0
            left[values] -= 1
            self._report.expect(which, known, f"{table} has {values}")
        for values, count in left.items():
            if count > 0:
                self._report.expect(which, False, f"{table} lacks {values}")

    async def _finish(self) -> None:
        """The rows that change: as the last event left them."""
        extra = await self._connection.fetchrow(
            "SELECT (SELECT count(*) FROM trade_ledger WHERE market_id = $1 AND event_seq > $2) AS ledger,"
            " (SELECT count(*) FROM fills WHERE market_id = $1 AND seq > $2)"
            " + (SELECT count(*) FROM trades WHERE market_id = $1 AND seq > $2) AS fills",
            self._market_id,
            self._seq,
        )
        assert extra is not None
        for which, count in ((Check.LEDGER, extra["ledger"]), (Check.FILLS, extra["fills"])):
            words = f"market {self._market_id}: {count} rows of events that are not there"
            self._report.expect(which, count == 0, words)
        state = self._state.markets.get(self._market_id)
        stored = await load_market(self._connection, self._market_id)
        if stored and stored.market.seq == 0:  # the stream of a shard that granted nothing yet
            stored = None
        words = f"market {self._market_id}: has {'no events' if stored else 'no row'}"
        if self._report.expect(Check.MARKET, (state is None) == (stored is None), words) and state and stored:
            await self._market_row(state, stored)
            if not is_system_stream(self._market_id):
                self._positions(state, stored)
                broken = check(state)
                self._report.expect(Check.INVARIANTS, not broken, f"market {self._market_id}: {broken[:5]}")
        await self._order_rows()

    async def _market_row(self, state: MarketState, stored: MarketState) -> None:
        name, here, there = f"market {self._market_id}", state.market, stored.market
        head = (there.seq, there.last_hash)
        self._report.expect(Check.MARKET, head == (self._seq, self._hash), f"{name}: its head is {head}")
        if is_system_stream(self._market_id):
            return
        for field, value in zip(Market.FIELDS, here.read(), strict=True):
            found = getattr(there, field)
            words = f"{name}: {field} is {found!r}, by the events {value!r}"
            self._report.expect(Check.MARKET, found == value, words)
        trade_seq = await self._connection.fetchval(
            "SELECT last_trade_seq FROM markets WHERE market_id = $1", self._market_id
        )
        words = f"{name}: last_trade_seq is {trade_seq}, by the events {self._last_trade_seq}"
        self._report.expect(Check.MARKET, trade_seq == self._last_trade_seq, words)
        if not self._report.results[Check.ORDERS].broken and not self._report.results[Check.POSITIONS].broken:
            same = state_hash(state) == state_hash(stored)
            self._report.expect(Check.MARKET, same, f"{name}: another state hash")

    def _positions(self, state: MarketState, stored: MarketState) -> None:
        nothing = (0,) * len(Position.FIELDS)
        for user in sorted(state.positions.keys() | stored.positions.keys()):
            here, there = state.positions.get(user), stored.positions.get(user)
            expected, found = here.read() if here else nothing, there.read() if there else nothing
            words = f"market {self._market_id} user {user}: {found}, by the events {expected}"
            self._report.expect(Check.POSITIONS, expected == found, words)

    async def _order_rows(self) -> None:
        left = {order_id: (*self._new_orders[order_id], *row) for order_id, row in self._orders.items()}
        rows = await self._connection.fetch("SELECT * FROM orders WHERE market_id = $1", self._market_id)
        for row in rows:
            order_id, *values = plain(row)
            expected = left.pop(order_id, ())
            words = f"order {order_id} is {values}, by the events {list(expected)}"
            self._report.expect(Check.ORDERS, tuple(values) == expected, words)
        for order_id in left:
            self._report.expect(Check.ORDERS, False, f"order {order_id} is missing")


def plain(row: asyncpg.Record) -> tuple[Any, ...]:
    """A row's values, ids as text."""
    return tuple(str(value) if isinstance(value, UUID) else value for value in row.values())
