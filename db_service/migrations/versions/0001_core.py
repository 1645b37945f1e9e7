"""Money: shards, accounts, markets, positions, orders, fills, trades, events and the ledger.

Columns carry the names of `engine.state`, with `_micros` where the unit is micros. Ids are uuids, times are
microseconds since the epoch (bigint), as the events have them; only what no event tells is timestamptz. There are no
foreign keys between the hot tables: each would be a look-up and a lock per row in the batch's transaction, and the one
writer of a shard writes both sides; `python -m db_service verify` compares them.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "audit_log, idempotency, trade_ledger, events, trades, fills, orders, positions, markets, accounts, "
    "relay_cursors, system_streams, shards, settings"
)


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    op.execute(f"DROP TABLE {TABLES}")
    op.execute("DROP FUNCTION ensure_partitions(integer)")
    op.execute("DROP FUNCTION forget_old_keys(integer)")
