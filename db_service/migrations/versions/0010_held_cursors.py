"""Cursors that are held: while a bus is wiped and its cursor moved back, its relays publish nothing."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE relay_cursors ADD COLUMN held boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    op.execute("ALTER TABLE relay_cursors DROP COLUMN held")
