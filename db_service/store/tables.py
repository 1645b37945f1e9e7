"""Columns of the tables that the write path fills, and its statements over whole lists by `unnest`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def _unnest(types: Sequence[str]) -> str:
    return "unnest(" + ", ".join(f"${index + 1}::{kind}[]" for index, kind in enumerate(types)) + ")"


_NEW_HEAD = {
    "market_id": "uuid",
    "shard_id": "integer",
    "created_by": "uuid",
    "created_at": "bigint",
    "seq": "bigint",
    "last_hash": "text",
    "last_trade_seq": "bigint",
}
INSERT_MARKETS = (
    f"INSERT INTO markets ({', '.join([*_NEW_HEAD, *MARKET_COLUMNS.values()])}) "
    f"SELECT * FROM {_unnest([*_NEW_HEAD.values(), *_MARKET_TYPES])}"
)
_OLD_HEAD = {
    "market_id": "uuid",
    "seq_before": "bigint",
    "seq": "bigint",
    "last_hash": "text",
    "last_trade_seq": "bigint",
}
UPDATE_MARKETS = (
    "UPDATE markets m SET seq = u.seq, last_hash = u.last_hash, "
    "last_trade_seq = greatest(m.last_trade_seq, u.last_trade_seq), "
    + ", ".join(f"{column} = coalesce(u.{column}, m.{column})" for column in MARKET_COLUMNS.values())
    + f" FROM {_unnest([*_OLD_HEAD.values(), *_MARKET_TYPES])} "
    f"AS u({', '.join([*_OLD_HEAD, *MARKET_COLUMNS.values()])}) "
    "WHERE m.market_id = u.market_id AND m.seq = u.seq_before"
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
PUT_POSITIONS = (
    f"INSERT INTO positions (market_id, user_id, {', '.join(POSITION_COLUMNS)}) "
    f"SELECT * FROM {_unnest(['uuid', 'uuid', *['bigint'] * 7])} ON CONFLICT (market_id, user_id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in POSITION_COLUMNS)
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
INSERT_ORDERS = (
    f"INSERT INTO orders (order_id, {', '.join([*ORDER_IDENTITY, *ORDER_COLUMNS])}) "
    f"SELECT * FROM {_unnest(['uuid', *ORDER_IDENTITY.values(), *ORDER_COLUMNS.values()])}"
)
UPDATE_ORDERS = (
    f"UPDATE orders o SET {', '.join(f'{column} = u.{column}' for column in ORDER_COLUMNS)} "
    f"FROM {_unnest(['uuid', *ORDER_COLUMNS.values()])} AS u(order_id, {', '.join(ORDER_COLUMNS)}) "
    "WHERE o.order_id = u.order_id"
)
INSERT_FILLS = (
    "INSERT INTO fills (market_id, seq, fill_index, trade_id, order_id, user_id, venue, liquidity, side, outcome, "
    "price_micros, quantity_micros, cost_micros, fee_micros, netted_micros, time) SELECT * FROM "
    + _unnest(["uuid", "bigint", "integer", "uuid", "uuid", "uuid", *["text"] * 4, *["bigint"] * 6])
)
INSERT_TRADES = (
    "INSERT INTO trades (market_id, seq, trade_index, trade_id, order_id, venue, kind, outcome, taker_side, "
    "price_micros, quantity_micros, time) SELECT * FROM "
    + _unnest(["uuid", "bigint", "integer", "uuid", "uuid", *["text"] * 4, *["bigint"] * 3])
)
INSERT_LEDGER = (
    "INSERT INTO trade_ledger (event_time, market_id, event_seq, user_id, kind, points_micros, yes_micros, "
    "no_micros, balance_after_micros) SELECT * FROM "
    + _unnest(["bigint", "uuid", "bigint", "uuid", "text", *["bigint"] * 4])
)
INSERT_EVENTS = (
    "INSERT INTO events (market_id, seq, shard_id, commit_seq, epoch, time, kind, actor_id, payload, hash) "
    "SELECT * FROM " + _unnest(["uuid", "bigint", "integer", *["bigint"] * 3, "text", "uuid", "text", "text"])
)
