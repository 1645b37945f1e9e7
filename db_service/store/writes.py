"""The statements of the write path. Each takes a connection that the caller has in (or outside) a transaction.

Few statements, each over whole lists by `unnest`. Times are seconds; `timeout` ends a statement, never a COMMIT.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from db_service.store.rows import BatchRows, MarketRow, StoredEvent, columns, rows_of
from db_service.store.tables import AFTER, APPENDED, TERMS, joined
from engine.commands import MarketTerms
from engine.core import is_system_stream
from engine.events import MarketAfter
from runtime.postgres import Connection

COPY_MIN_EVENTS = 32
"""Below this the round trips of five COPYs cost more than they save."""

__all__ = ["AuditRow", "Balance", "Fenced", "KeyRow", "StoredEvent", "StoredKey"]


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's row (micros)."""

    available: int = 0
    locked: int = 0
    user_seq: int = 0


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A row of `idempotency`."""

    user_id: str
    key: str
    operation: str
    request_hash: str
    market_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What a known key was used for, with the event its first answer is rebuilt from."""

    operation: str
    request_hash: str
    payload: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    actor_id: str
    action: str
    target: str
    reason: str
    trace_id: str
    before: str | None
    after: str | None
    """JSON: how the target looked."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What a batch begins with: PostgreSQL's clock, what was ever granted (both micros), and the accounts there are."""

    now_micros: int
    granted_micros: int
    balances: Mapping[str, Balance]


class GrantedMeanwhile(Exception):
    """Another shard's grants left no room below the maximum of all grants: read it again and run again."""


@dataclass(frozen=True, slots=True)
class Fenced:
    """A shard's row after its epoch was raised; commit_seq is final."""

    epoch: int
    commit_seq: int
    last_event_time: int


async def read_moment(connection: Connection, user_ids: Collection[str], *, timeout: float) -> Moment:
    """One query."""
    rows = await connection.fetch(
        """
        SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_micros, i.granted_micros,
            a.user_id, a.available_micros, a.locked_micros, a.user_seq
        FROM issuance i LEFT JOIN accounts a ON a.user_id = ANY($1::uuid[])
        """,
        list(user_ids),
        timeout=timeout,
    )
    balances = {str(row["user_id"]): _balance(row) for row in rows if row["user_id"] is not None}
    return Moment(rows[0]["now_micros"], rows[0]["granted_micros"], balances)


async def look_up_keys(
    connection: Connection, keys: Sequence[tuple[str, str]], *, timeout: float
) -> dict[tuple[str, str], StoredKey]:
    """The keys, of these (user, key), that were used before."""
    rows = await connection.fetch(
        """
        SELECT i.user_id, i.key, i.operation, i.request_hash, e.payload
        FROM unnest($1::uuid[], $2::text[]) AS asked(user_id, key)
        JOIN idempotency i USING (user_id, key) JOIN events e USING (market_id, seq)
        """,
        [user_id for user_id, _ in keys],
        [key for _, key in keys],
        timeout=timeout,
    )
    return {
        (str(row["user_id"]), row["key"]): StoredKey(row["operation"], row["request_hash"], row["payload"])
        for row in rows
    }


async def guard(
    connection: Connection,
    *,
    shard_id: int,
    epoch: int,
    expected: int,
    new: int,
    last_event_time: int,
    lease_seconds: float,
    timeout: float,
) -> bool:
    """The first statement of a batch. False: somebody else owns the shard; write nothing."""
    status = await connection.execute(
        """
        UPDATE shards SET commit_seq = $4, last_event_time = $5,
            lease_expires_at = clock_timestamp() + make_interval(secs => $6)
        WHERE shard_id = $1 AND epoch = $2 AND commit_seq = $3
        """,
        shard_id,
        epoch,
        expected,
        new,
        last_event_time,
        lease_seconds,
        timeout=timeout,
    )
    return _count(status) == 1


async def move_guard(connection: Connection, shard_id: int, epoch: int, new: int, *, timeout: float) -> None:
    """Within the transaction that holds the guard: another number of events after all."""
    status = await connection.execute(
        "UPDATE shards SET commit_seq = $3 WHERE shard_id = $1 AND epoch = $2",
        shard_id,
        epoch,
        new,
        timeout=timeout,
    )
    assert _count(status) == 1, "the guard was held"


async def holds_epoch(connection: Connection, shard_id: int, epoch: int, *, timeout: float) -> bool:
    """Whether the epoch is still ours."""
    held: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM shards WHERE shard_id = $1 AND epoch = $2)",
        shard_id,
        epoch,
        timeout=timeout,
    )
    return held


async def renew_lease(
    connection: Connection, shard_id: int, epoch: int, lease_seconds: float, *, timeout: float
) -> bool:
    """False: the epoch is no longer ours."""
    status = await connection.execute(
        """
        UPDATE shards SET lease_expires_at = clock_timestamp() + make_interval(secs => $3)
        WHERE shard_id = $1 AND epoch = $2
        """,
        shard_id,
        epoch,
        lease_seconds,
        timeout=timeout,
    )
    return _count(status) == 1


async def fence(
    connection: Connection, shard_id: int, epoch: int, lease_seconds: float, *, timeout: float
) -> Fenced | None:
    """Raise our own epoch: waits for an old transaction that holds the row, and blinds a later one."""
    row = await connection.fetchrow(
        """
        UPDATE shards SET epoch = epoch + 1, lease_expires_at = clock_timestamp() + make_interval(secs => $3)
        WHERE shard_id = $1 AND epoch = $2 RETURNING epoch, commit_seq, last_event_time
        """,
        shard_id,
        epoch,
        lease_seconds,
        timeout=timeout,
    )
    return None if row is None else Fenced(row["epoch"], row["commit_seq"], row["last_event_time"])


async def lock_accounts(
    connection: Connection, user_ids: Collection[str], *, timeout: float
) -> dict[str, Balance]:
    """Every account of the batch, locked in the order of their ids; accounts that were not there are made."""
    found = await _lock(connection, user_ids, timeout)
    missing = sorted(set(user_ids) - set(found))
    if missing:
        await connection.execute(
            "INSERT INTO accounts (user_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING",
            missing,
            timeout=timeout,
        )
        found |= await _lock(connection, missing, timeout)
    return found


async def _lock(connection: Connection, user_ids: Collection[str], timeout: float) -> dict[str, Balance]:
    rows = await connection.fetch(
        """
        SELECT user_id, available_micros, locked_micros, user_seq FROM accounts
        WHERE user_id = ANY($1::uuid[]) ORDER BY user_id FOR NO KEY UPDATE
        """,
        list(user_ids),
        timeout=timeout,
    )
    return {str(row["user_id"]): _balance(row) for row in rows}


async def write_batch(
    connection: Connection,
    events: Sequence[StoredEvent],
    keys: Sequence[KeyRow] = (),
    audits: Sequence[AuditRow] = (),
    *,
    timeout: float,
) -> int:
    """All rows of these events, their keys and audit rows; returns how many keys were new.

    Fewer than given: another writer stored one first, and nothing of this may be committed. Raises asyncpg's errors,
    GrantedMeanwhile, AssertionError when a version guard does not hold. One statement, one round trip; in a large
    batch the tables that only grow are filled by COPY, which costs half as much a row here.
    """
    written = _rows_by_part(events, rows_of(events))
    written["idempotency"] = [
        (row.user_id, row.key, row.operation, row.request_hash, row.market_id, row.seq) for row in keys
    ]
    written["audit_log"] = [
        (row.actor_id, row.action, row.target, row.reason, row.trace_id, row.before, row.after)
        for row in audits
    ]
    copied = APPENDED if len(events) >= COPY_MIN_EVENTS else {}
    parts = {name: rows for name, rows in written.items() if rows and name not in copied}
    counts = await connection.fetchrow(
        joined(tuple(parts)),
        *(column for rows in parts.values() for column in columns(rows)),
        timeout=timeout,
    )
    assert counts is not None
    if "issuance" in parts and counts["issuance"] == 0:
        raise GrantedMeanwhile
    for name, rows in parts.items():
        assert name == "idempotency" or counts[name] == len(rows), f"{name}: a row was not as it was known"
    for table, names in copied.items():
        if written[table]:
            await connection.copy_records_to_table(
                table, records=written[table], columns=list(names), timeout=timeout
            )
    return int(counts["idempotency"]) if keys else 0


def _rows_by_part(events: Sequence[StoredEvent], rows: BatchRows) -> dict[str, Sequence[tuple[Any, ...]]]:
    """Rows for each part of `tables.PARTS`, in its columns' order."""
    shard_id = events[0].event.shard
    new_markets, markets, streams = [], [], []
    for row in rows.markets.values():
        if is_system_stream(row.market_id):
            streams.append((shard_id, row.seq_before, row.seq, row.last_hash))
        elif row.seq_before == 0:
            new_markets.append(_created_values(shard_id, row))
        else:
            markets.append(_changed_values(row))
    return {
        "accounts": [(user_id, *added) for user_id, added in rows.accounts.items()],
        "issuance": [(rows.granted,)] if rows.granted else [],
        "new_markets": new_markets,
        "markets": markets,
        "system_streams": streams,
        "positions": _position_rows(rows),
        "changed_orders": [
            (order_id, *values) for order_id, values in rows.orders.items() if order_id not in rows.new_orders
        ],
        "orders": [(order_id, *fixed, *rows.orders[order_id]) for order_id, fixed in rows.new_orders.items()],
        "fills": rows.fills,
        "trades": rows.trades,
        "trade_ledger": rows.ledger,
        "events": [_event_row(stored) for stored in events],
    }


def _position_rows(rows: BatchRows) -> list[tuple[Any, ...]]:
    return [(market_id, user_id, *values) for (market_id, user_id), values in rows.positions.items()]


def _event_row(stored: StoredEvent) -> tuple[Any, ...]:
    event = stored.event
    return (
        event.market_id,
        event.seq,
        event.shard,
        stored.commit_seq,
        event.epoch,
        event.time,
        event.kind,
        event.command.actor_id,
        stored.payload,
        stored.hash,
    )


def _created_values(shard_id: int, row: MarketRow) -> tuple[Any, ...]:
    assert row.terms is not None, "a market begins with its terms"
    head = (
        row.market_id,
        shard_id,
        row.created_by,
        row.created_at,
        row.seq,
        row.last_hash,
        row.last_trade_seq,
    )
    return (*head, *_terms_values(row.terms), *_after_values(row.after))


def _changed_values(row: MarketRow) -> tuple[Any, ...]:
    head = (row.market_id, row.seq_before, row.seq, row.last_hash, row.last_trade_seq)
    return (*head, *_terms_values(row.terms), *_after_values(row.after))


def _terms_values(terms: MarketTerms | None) -> tuple[Any, ...]:
    return tuple(getattr(terms, name, None) for name in TERMS)


def _after_values(after: MarketAfter | None) -> tuple[Any, ...]:
    return tuple(getattr(after, name, None) for name in AFTER)


def _balance(row: Any) -> Balance:
    return Balance(row["available_micros"], row["locked_micros"], row["user_seq"])


def _count(status: str) -> int:
    return int(status.rsplit(" ", 1)[1])
