"""Columns of the tables that the write path fills, with their types, and its one statement over whole lists of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from engine.units import GRANTED_MAX_MICROS

TERMS: Mapping[str, str] = {
    "question": "text",
    "description": "text",
    "rules": "text",
    "resolution_source": "text",
    "category": "text",
    "tick_micros": "bigint",
    "fee_bps": "integer",
    "liquidity_micros": "bigint",
    "initial_probability_micros": "bigint",
    "opens_at": "bigint",
    "closes_at": "bigint",
}
AFTER: Mapping[str, tuple[str, str]] = {
    "status": ("status", "text"),
    "reason": ("reason", "text"),
    "outcome": ("outcome", "text"),
    "collateral": ("collateral_micros", "bigint"),
    "pool_yes": ("pool_yes_micros", "bigint"),
    "pool_no": ("pool_no_micros", "bigint"),
    "vault": ("vault_micros", "bigint"),
    "treasury_yes": ("treasury_yes_micros", "bigint"),
    "treasury_no": ("treasury_no_micros", "bigint"),
    "treasury_points": ("treasury_points_micros", "bigint"),
    "pending": ("pending_micros", "bigint"),
    "volume": ("volume_micros", "bigint"),
    "last_price_micros": ("last_price_micros", "bigint"),
    "closing_probability_micros": ("closing_probability_micros", "bigint"),
    "owed": ("owed_micros", "bigint"),
    "payable": ("payable_micros", "bigint"),
    "paid": ("paid_micros", "bigint"),
    "holders_paid": ("holders_paid", "bigint"),
    "settled": ("settled", "boolean"),
    "updated_at": ("updated_at", "bigint"),
}
MARKET_COLUMNS: Mapping[str, str] = {
    **{name: name for name in TERMS},
    **{n: c for n, (c, _) in AFTER.items()},
}
"""Fields of `engine.state.Market` to columns of `markets`."""

_MARKET_TYPES = [*TERMS.values(), *(kind for _, kind in AFTER.values())]


@dataclass(frozen=True, slots=True)
class Part:
    """What a batch does to one table. `{rows}` in `sql` stands for the rows, one list per column of these `types`."""

    sql: str
    types: tuple[str, ...]


_NEW_HEAD = {
    "market_id": "uuid",
    "shard_id": "integer",
    "created_by": "uuid",
    "created_at": "bigint",
    "seq": "bigint",
    "last_hash": "text",
    "last_trade_seq": "bigint",
}
_INSERT_MARKETS = Part(
    f"INSERT INTO markets ({', '.join([*_NEW_HEAD, *MARKET_COLUMNS.values()])}) SELECT * FROM {{rows}}",
    (*_NEW_HEAD.values(), *_MARKET_TYPES),
)
_OLD_HEAD = {
    "market_id": "uuid",
    "seq_before": "bigint",
    "seq": "bigint",
    "last_hash": "text",
    "last_trade_seq": "bigint",
}
_UPDATE_MARKETS = Part(
    "UPDATE markets m SET seq = u.seq, last_hash = u.last_hash, "
    "last_trade_seq = greatest(m.last_trade_seq, u.last_trade_seq), "
    + ", ".join(f"{column} = coalesce(u.{column}, m.{column})" for column in MARKET_COLUMNS.values())
    + f" FROM {{rows}} AS u({', '.join([*_OLD_HEAD, *MARKET_COLUMNS.values()])}) "
    "WHERE m.market_id = u.market_id AND m.seq = u.seq_before",
    (*_OLD_HEAD.values(), *_MARKET_TYPES),
)

POSITION_COLUMNS = (
    "yes_micros",
    "no_micros",
    "locked_yes_micros",
    "locked_no_micros",
    "basis_yes_micros",
    "basis_no_micros",
    "realized_pnl_micros",
)
_PUT_POSITIONS = Part(
    f"INSERT INTO positions (market_id, user_id, {', '.join(POSITION_COLUMNS)}) SELECT * FROM {{rows}} "
    "ON CONFLICT (market_id, user_id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in POSITION_COLUMNS),
    ("uuid", "uuid", *["bigint"] * len(POSITION_COLUMNS)),
)

ORDER_IDENTITY: Mapping[str, str] = {
    "market_id": "uuid",
    "user_id": "uuid",
    "client_order_id": "text",
    "side": "text",
    "outcome": "text",
    "type": "text",
    "time_in_force": "text",
    "post_only": "boolean",
    "self_trade": "text",
    "amount_micros": "bigint",
    "created_at": "bigint",
}
ORDER_COLUMNS: Mapping[str, str] = {
    "price_micros": "bigint",
    "quantity_micros": "bigint",
    "filled_micros": "bigint",
    "remaining_micros": "bigint",
    "cancelled_micros": "bigint",
    "cost_micros": "bigint",
    "fee_micros": "bigint",
    "netted_micros": "bigint",
    "locked_points_micros": "bigint",
    "status": "text",
    "reason": "text",
    "priority_seq": "bigint",
    "expires_at": "bigint",
    "updated_at": "bigint",
    "seq": "bigint",
}
"""In the order of `engine.state.Order.FIELDS`."""
NEW_ORDER_COLUMNS: Mapping[str, str] = {"order_id": "uuid", **ORDER_IDENTITY, **ORDER_COLUMNS}
_UPDATE_ORDERS = Part(
    f"UPDATE orders o SET {', '.join(f'{column} = u.{column}' for column in ORDER_COLUMNS)} "
    f"FROM {{rows}} AS u(order_id, {', '.join(ORDER_COLUMNS)}) WHERE o.order_id = u.order_id",
    ("uuid", *ORDER_COLUMNS.values()),
)

FILL_COLUMNS: Mapping[str, str] = {
    "market_id": "uuid",
    "seq": "bigint",
    "fill_index": "integer",
    "trade_id": "uuid",
    "order_id": "uuid",
    "user_id": "uuid",
    "venue": "text",
    "liquidity": "text",
    "side": "text",
    "outcome": "text",
    "price_micros": "bigint",
    "quantity_micros": "bigint",
    "cost_micros": "bigint",
    "fee_micros": "bigint",
    "netted_micros": "bigint",
    "time": "bigint",
}
TRADE_COLUMNS: Mapping[str, str] = {
    "market_id": "uuid",
    "seq": "bigint",
    "trade_index": "integer",
    "trade_id": "uuid",
    "order_id": "uuid",
    "venue": "text",
    "kind": "text",
    "outcome": "text",
    "taker_side": "text",
    "price_micros": "bigint",
    "quantity_micros": "bigint",
    "time": "bigint",
}
LEDGER_COLUMNS: Mapping[str, str] = {
    "event_time": "bigint",
    "market_id": "uuid",
    "event_seq": "bigint",
    "user_id": "uuid",
    "kind": "text",
    "points_micros": "bigint",
    "yes_micros": "bigint",
    "no_micros": "bigint",
    "balance_after_micros": "bigint",
}
EVENT_COLUMNS: Mapping[str, str] = {
    "market_id": "uuid",
    "seq": "bigint",
    "shard_id": "integer",
    "commit_seq": "bigint",
    "epoch": "bigint",
    "time": "bigint",
    "kind": "text",
    "actor_id": "uuid",
    "payload": "text",
    "hash": "text",
}
APPENDED: Mapping[str, Mapping[str, str]] = {
    "orders": NEW_ORDER_COLUMNS,
    "fills": FILL_COLUMNS,
    "trades": TRADE_COLUMNS,
    "trade_ledger": LEDGER_COLUMNS,
    "events": EVENT_COLUMNS,
}
"""Tables that a batch only adds rows to, with the columns it fills."""

PARTS: Mapping[str, Part] = {
    "accounts": Part(
        "UPDATE accounts a SET available_micros = a.available_micros + u.available, "
        "locked_micros = a.locked_micros + u.locked, user_seq = a.user_seq + u.frames "
        "FROM {rows} AS u(user_id, available, locked, frames) WHERE a.user_id = u.user_id",
        ("uuid", "bigint", "bigint", "bigint"),
    ),
    "issuance": Part(
        "UPDATE issuance SET granted_micros = granted_micros + u.granted FROM {rows} AS u(granted) "
        f"WHERE granted_micros + u.granted <= {GRANTED_MAX_MICROS}",
        ("bigint",),
    ),
    "new_markets": _INSERT_MARKETS,
    "markets": _UPDATE_MARKETS,
    "system_streams": Part(
        "UPDATE system_streams s SET seq = u.seq, last_hash = u.last_hash "
        "FROM {rows} AS u(shard_id, seq_before, seq, last_hash) "
        "WHERE s.shard_id = u.shard_id AND s.seq = u.seq_before",
        ("integer", "bigint", "bigint", "text"),
    ),
    "positions": _PUT_POSITIONS,
    "changed_orders": _UPDATE_ORDERS,
    **{
        table: Part(f"INSERT INTO {table} ({', '.join(names)}) SELECT * FROM {{rows}}", tuple(names.values()))
        for table, names in APPENDED.items()
    },
    "idempotency": Part(
        "INSERT INTO idempotency (user_id, key, operation, request_hash, market_id, seq) SELECT * FROM {rows} "
        "ON CONFLICT (user_id, key) DO NOTHING",
        ("uuid", "text", "text", "text", "uuid", "bigint"),
    ),
    "audit_log": Part(
        "INSERT INTO audit_log (actor_id, action, target, reason, trace_id, before, after) SELECT * FROM {rows}",
        ("uuid", "text", "text", "text", "text", "jsonb", "jsonb"),
    ),
}


@cache
def joined(names: tuple[str, ...]) -> str:
    """These parts as one statement, which answers how many rows each changed. No two touch the same row."""
    clauses: list[str] = []
    used = 0
    for name in names:
        part = PARTS[name]
        lists = ", ".join(f"${used + place}::{kind}[]" for place, kind in enumerate(part.types, 1))
        clauses.append(f"did_{name} AS ({part.sql.replace('{rows}', f'unnest({lists})')} RETURNING 1)")
        used += len(part.types)
    counts = ", ".join(f"(SELECT count(*) FROM did_{name}) AS {name}" for name in names)
    return f"WITH {', '.join(clauses)} SELECT {counts}"
