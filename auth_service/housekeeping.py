"""Deletes what has had its time, a little at a time."""

import asyncio
from typing import Final

import asyncpg

from auth_service.database import Pool
from runtime.logs import get_logger

log = get_logger(__name__)

ROUND_SECONDS: Final = 600.0
DELETED_MAX: Final = 5_000
"""Rows of one table per statement, so that no transaction is long."""

POSTGRES_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)

HAD_ITS_TIME: Final = {
    # Two days: the promise is one.
    "account_writes": "created_at < now() - interval '48 hours'",
    "token_changes": "matters_until < now()",
    # A code that comes a second time must still be known; it is not for long.
    "authorization_codes": "expires_at < now() - interval '1 day'",
    # Kept beyond the hour they are counted in, and the two days of a key.
    "password_resets": "expires_at < now() - interval '3 days'",
    # With their refresh tokens; a month after their end nobody asks what became of them.
    "sessions": "least(revoked_at, expires_at) < now() - interval '30 days'",
}


async def run(pool: Pool) -> None:
    """For ever; ends by being cancelled. Several processes may do it side by side."""
    while True:
        try:
            deleted = await delete_round(pool)
        except POSTGRES_AWAY as error:
            log.warning("housekeeping waits for Postgres", reason=type(error).__name__)
            deleted = 0
        if deleted < DELETED_MAX:
            await asyncio.sleep(ROUND_SECONDS)


async def delete_round(pool: Pool) -> int:
    """The most rows that one table had to lose."""
    most = 0
    for table, condition in HAD_ITS_TIME.items():
        status = await pool.execute(
            f"""
            DELETE FROM {table} WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM {table} WHERE {condition} LIMIT $1))
            """,
            DELETED_MAX,
        )
        most = max(most, int(status.rpartition(" ")[2]))
    return most
