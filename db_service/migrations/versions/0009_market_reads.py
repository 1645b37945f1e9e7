"""What market_service reads, as a role of its own: public things of markets, and of a caller his balance."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

UPGRADE = """
DO $roles$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pm_market') THEN
        CREATE ROLE pm_market LOGIN;
    END IF;
END
$roles$;
GRANT USAGE ON SCHEMA public TO pm_market;
GRANT SELECT ON settings, shards, markets, orders, positions, trades, events TO pm_market;
GRANT SELECT (user_id, available_micros) ON accounts TO pm_market;
GRANT SELECT (user_id, display_name) ON users TO pm_market;
"""

DOWNGRADE = """
REVOKE ALL ON users, accounts, events, trades, positions, orders, markets, shards, settings FROM pm_market;
REVOKE USAGE ON SCHEMA public FROM pm_market;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
