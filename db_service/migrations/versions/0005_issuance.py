"""How much was granted in all, on a row of its own: the sum of all points there are has a maximum."""

from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None

UPGRADE = """
-- All grants together, those taken back deducted. Only grants move it: no trade touches a row that markets share.
CREATE TABLE issuance (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    granted_micros bigint NOT NULL CHECK (granted_micros BETWEEN 0 AND 9000000000000000)
);
INSERT INTO issuance (granted_micros)
    SELECT coalesce(sum(-l.points_micros), 0) FROM trade_ledger l JOIN system_streams USING (market_id)
    WHERE l.user_id IS NULL;
GRANT SELECT, UPDATE ON issuance TO pm_order;
GRANT SELECT ON issuance TO pm_db;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE issuance")
