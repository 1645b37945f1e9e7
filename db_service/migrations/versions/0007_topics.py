"""Topics: heads of markets at every thousandth event, from which reading a market's topics may begin."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_UP = """
-- A market as an event left it, as JSON (db_service/topics/head.py). Follows from the events before it; never changed.
CREATE TABLE topic_checkpoints (
    market_id uuid NOT NULL,
    seq bigint NOT NULL CHECK (seq >= 1),
    head text NOT NULL,
    PRIMARY KEY (market_id, seq)
);
GRANT SELECT, INSERT ON topic_checkpoints TO pm_order;
GRANT SELECT ON topic_checkpoints TO pm_db;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute("DROP TABLE topic_checkpoints")
