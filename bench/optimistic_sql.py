"""What the rival reads and writes for one trade: the rows that our write path writes for it, in our own schema.

`:name` marks a parameter; `{guard}` stands where a statement hangs on the version check when all are one statement.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

READ: Final = """
    SELECT m.seq, m.pool_yes_micros, m.pool_no_micros, m.fee_bps, a.available_micros,
        EXISTS (SELECT FROM idempotency i WHERE i.user_id = :user_id AND i.key = :key) AS seen
    FROM markets m, accounts a WHERE m.market_id = :market_id AND a.user_id = :user_id"""

GUARD: Final = """
    UPDATE markets SET seq = :seq::bigint, last_hash = :hash::text, last_trade_seq = :seq::bigint,
        pool_yes_micros = :pool_yes::bigint, pool_no_micros = :pool_no::bigint,
        collateral_micros = collateral_micros + :cost::bigint, vault_micros = vault_micros + :fee::bigint,
        volume_micros = volume_micros + :shares::bigint, last_price_micros = :price::bigint,
        updated_at = :time::bigint
    WHERE market_id = :market_id::uuid AND seq = :seq_before::bigint"""
"""The optimistic lock. First, so that a loser learns it before it has written anything."""

WRITES: Final = (
    """UPDATE accounts SET available_micros = available_micros - :amount::bigint, user_seq = user_seq + 4
    {from_guard} WHERE user_id = :user_id::uuid""",
    """INSERT INTO positions SELECT :market_id::uuid, :user_id::uuid, :yes::bigint, :no::bigint, 0, 0,
        :basis_yes::bigint, :basis_no::bigint, 0 {from_guard}
    ON CONFLICT (market_id, user_id) DO UPDATE SET yes_micros = positions.yes_micros + excluded.yes_micros,
        no_micros = positions.no_micros + excluded.no_micros,
        basis_yes_micros = positions.basis_yes_micros + excluded.basis_yes_micros,
        basis_no_micros = positions.basis_no_micros + excluded.basis_no_micros""",
    """INSERT INTO orders SELECT :order_id::uuid, :market_id::uuid, :user_id::uuid, '', 'BUY', :outcome::text, 'MARKET',
        'IOC', false, 'CANCEL_TAKER', :amount::bigint, :time::bigint, 0, :shares::bigint, :shares::bigint, 0, 0,
        :cost::bigint, :fee::bigint, 0, 0, 'FILLED', '', 0, 0, :time::bigint, :seq::bigint {from_guard}""",
    """INSERT INTO fills SELECT :market_id::uuid, :seq::bigint, 0, :trade_id::uuid, :order_id::uuid, :user_id::uuid,
        'POOL', 'TAKER', 'BUY', :outcome::text, :price::bigint, :shares::bigint, :cost::bigint, :fee::bigint, 0,
        :time::bigint {from_guard}""",
    """INSERT INTO trades SELECT :market_id::uuid, :seq::bigint, 0, :trade_id::uuid, :order_id::uuid, 'POOL', 'POOL',
        :outcome::text, 'BUY', :price::bigint, :shares::bigint, :time::bigint {from_guard}""",
    """INSERT INTO trade_ledger SELECT :time::bigint, :market_id::uuid, :seq::bigint, who, 'PLACE_ORDER',
        sign * :amount::bigint, -sign * :yes::bigint, -sign * :no::bigint, after
    FROM (VALUES (:user_id::uuid, -1, :balance_after::bigint), (NULL, 1, NULL)) AS v(who, sign, after) {and_guard}""",
    """INSERT INTO events SELECT :market_id::uuid, :seq::bigint, 0, :seq::bigint, 1, :time::bigint, 'PLACE_ORDER',
        :user_id::uuid, :payload::text, :hash::text {from_guard}""",
    """INSERT INTO idempotency (user_id, key, operation, request_hash, market_id, seq)
    SELECT :user_id::uuid, :key::text, 'PLACE_ORDER', :request_hash::text, :market_id::uuid, :seq::bigint
    {from_guard}""",
)


@dataclass(frozen=True, slots=True)
class Statement:
    """asyncpg's form: `$n`, and the names in their order."""

    text: str
    names: tuple[str, ...]


def compiled(sql: str) -> Statement:
    """`:name` becomes `$n`, the same number for the same name."""
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"${names.setdefault(match[1], len(names) + 1)}"

    return Statement(re.sub(r"(?<!:):([a-z_]+)", number, sql), tuple(names))


def separate() -> tuple[Statement, ...]:
    """The guard and each write as a statement of its own."""
    return tuple(compiled(sql.format(from_guard="", and_guard="")) for sql in (GUARD, *WRITES))


def single() -> Statement:
    """All of it as one statement, which is one transaction by itself; answers how many markets the guard changed."""
    parts = [f"guard AS ({GUARD} RETURNING 1)"]
    for index, sql in enumerate(WRITES):
        parts.append(f"w{index} AS ({sql.format(from_guard='FROM guard', and_guard=', guard')})")
    return compiled(f"WITH {', '.join(parts)} SELECT count(*) FROM guard")
