"""The role of analytics: reads what it copies into ClickHouse, and the names that leaderboards show."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_UP = """
DO $roles$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pm_analytics') THEN
        CREATE ROLE pm_analytics LOGIN;
    END IF;
END
$roles$;
GRANT USAGE ON SCHEMA public TO pm_analytics;
GRANT SELECT ON settings, system_streams, markets, orders, fills, trades, events, trade_ledger, topic_checkpoints
    TO pm_analytics;
-- Nothing else of users: no e-mail, no password.
GRANT SELECT (user_id, display_name) ON users TO pm_analytics;
"""

_DOWN = """
REVOKE SELECT ON settings, system_streams, markets, orders, fills, trades, events, trade_ledger, topic_checkpoints
    FROM pm_analytics;
REVOKE SELECT (user_id, display_name) ON users FROM pm_analytics;
REVOKE USAGE ON SCHEMA public FROM pm_analytics;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
