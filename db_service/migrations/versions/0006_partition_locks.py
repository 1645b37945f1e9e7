"""Making a month's partition never makes writers queue behind a long reader: it gives up and is tried again."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER FUNCTION ensure_partitions(integer) SET lock_timeout = '300ms'")


def downgrade() -> None:
    op.execute("ALTER FUNCTION ensure_partitions(integer) RESET lock_timeout")
