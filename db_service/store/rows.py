"""Events to rows: what a batch of events leaves in each table, one list per table, last values only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.commands import CreateMarket, GrantPoints, MarketTerms
from engine.core import is_system_stream
from engine.events import Event, MarketAfter


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with its place in the shard, its canonical text and that text's hash."""

    event: Event
    commit_seq: int
    payload: str
    hash: str


@dataclass(slots=True)
class MarketRow:
    """What a batch does to one market's row."""

    market_id: str
    seq_before: int
    seq: int = 0
    last_hash: str = ""
    last_trade_seq: int = 0
    created_by: str = ""
    created_at: int = 0
    terms: MarketTerms | None = None
    after: MarketAfter | None = None


@dataclass(slots=True)
class BatchRows:
    """Rows by table, as tuples in the column order of `writes`."""

    accounts: dict[str, list[int]] = field(default_factory=dict)
    """available, locked, frames: how much is added."""
    positions: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    new_orders: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """What never changes; the changing part is in `orders`."""
    orders: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    fills: list[tuple[Any, ...]] = field(default_factory=list)
    trades: list[tuple[Any, ...]] = field(default_factory=list)
    ledger: list[tuple[Any, ...]] = field(default_factory=list)
    markets: dict[str, MarketRow] = field(default_factory=dict)
    granted: int = 0
    """Points granted, those taken back deducted."""


def rows_of(events: Iterable[StoredEvent]) -> BatchRows:
    """In event order, so that the last value of a row wins."""
    rows = BatchRows()
    for stored in events:
        event = stored.event
        _market(rows, stored)
        _accounts_and_ledger(rows, event)
        users = event.effects.users
        for position in event.effects.positions:
            user_id = users[position.user]
            rows.positions[event.market_id, user_id] = (
                position.yes,
                position.no,
                position.locked_yes,
                position.locked_no,
                position.basis_yes,
                position.basis_no,
                position.realized_pnl,
            )
        _orders(rows, event)
        _fills_and_trades(rows, event)
    return rows


def _market(rows: BatchRows, stored: StoredEvent) -> None:
    event = stored.event
    row = rows.markets.get(event.market_id)
    if row is None:
        row = rows.markets[event.market_id] = MarketRow(event.market_id, event.seq - 1)
    row.seq, row.last_hash = event.seq, stored.hash
    if isinstance(event.command, GrantPoints):
        rows.granted += event.command.amount_micros
    if isinstance(event.command, CreateMarket):
        row.created_by, row.created_at, row.terms = event.command.actor_id, event.time, event.command.terms
    if event.effects.trades:
        row.last_trade_seq = event.seq
    after = event.effects.market
    if after is not None and not is_system_stream(event.market_id):
        row.after, row.terms = after, after.terms or row.terms


def _accounts_and_ledger(rows: BatchRows, event: Event) -> None:
    users = event.effects.users
    sums = [0, 0, 0]
    before = len(rows.ledger)
    for change in event.effects.accounts:
        user_id = users[change.user]
        account = rows.accounts.setdefault(user_id, [0, 0, 0])
        account[0] += change.available_delta
        account[1] += change.locked_delta
        account[2] += change.frames
        moved = (change.available_delta + change.locked_delta, change.yes_delta, change.no_delta)
        if any(moved):
            balance = change.available_after + change.locked_after
            rows.ledger.append((event.time, event.market_id, event.seq, user_id, event.kind, *moved, balance))
            sums = [total + part for total, part in zip(sums, moved, strict=True)]
    if len(rows.ledger) > before:
        counter = (-sums[0], -sums[1], -sums[2])
        rows.ledger.append((event.time, event.market_id, event.seq, None, event.kind, *counter, None))


def _orders(rows: BatchRows, event: Event) -> None:
    new = event.effects.new_order
    if new is not None:
        rows.new_orders[new.order_id] = (
            event.market_id,
            event.effects.users[new.user],
            new.client_order_id,
            new.side.value,
            new.outcome.value,
            new.type.value,
            new.time_in_force.value,
            new.post_only,
            new.self_trade.value,
            new.amount_micros,
            event.time,
        )
    for order in event.effects.orders:
        rows.orders[order.order_id] = (
            order.price_micros,
            order.quantity,
            order.filled,
            order.remaining,
            order.cancelled,
            order.cost,
            order.fee,
            order.netted,
            order.locked_points,
            order.status.value,
            order.reason,
            order.priority_seq,
            order.expires_at,
            event.time,
            event.seq,
        )


def _fills_and_trades(rows: BatchRows, event: Event) -> None:
    for index, filled in enumerate(event.fills):
        fill = filled.fill
        rows.fills.append(
            (
                event.market_id,
                event.seq,
                index,
                filled.trade_id,
                fill.order_id,
                filled.user_id,
                filled.trade.venue,
                "TAKER" if fill.taker else "MAKER",
                fill.side.value,
                fill.outcome.value,
                fill.price_micros,
                fill.quantity,
                fill.cost,
                fill.fee,
                fill.netted,
                event.time,
            )
        )
    for index, trade in enumerate(event.effects.trades):
        rows.trades.append(
            (
                event.market_id,
                event.seq,
                index,
                event.trade_ids[index],
                trade.order_id,
                trade.venue,
                trade.kind,
                trade.outcome.value,
                trade.taker_side.value,
                trade.price_micros,
                trade.quantity,
                event.time,
            )
        )


def columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows to one list per column, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)]
