"""Open orders of those who may no longer trade: order_service is asked to cancel them until every pass has been made,
whatever is down meanwhile.

Three passes. The first one at once. The second one when every process has learned that the user's tokens are over.
The last one when those tokens have expired, for a process that could not learn it. A pass counts when all shards said
that no order of the user is open.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from auth_service import metrics
from auth_service.database import Connection, Pool
from auth_service.order_client import CancellingFailed, OrderClient
from auth_service.users import Account
from runtime.logs import get_logger
from runtime.tokens import LIFETIME_MAX_SECONDS

log = get_logger(__name__)

PASSES_AFTER_SECONDS: Final = (0, 10, LIFETIME_MAX_SECONDS + 60)
ROUND_MAX: Final = 20
"""Users per round; each is a call to every order_service process."""

ATTEMPT_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 0.5
BACKOFF_MAX_SECONDS: Final = 3
POSTGRES_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass(frozen=True, slots=True)
class Due:
    """A user whose next pass is due."""

    user_id: UUID
    access_version: int
    requested_at: datetime
    passes_made: int


async def request(connection: Connection, account: Account) -> None:
    """In the transaction that takes trading away; again: from the first pass."""
    await connection.execute(
        """
        INSERT INTO order_cancellations (user_id, access_version) VALUES ($1, $2)
        ON CONFLICT (user_id) DO UPDATE SET requested_at = now(), access_version = excluded.access_version,
            passes_made = 0, attempts = 0, next_attempt_at = now()
        """,
        account.user_id,
        account.access_version,
    )


async def withdraw(connection: Connection, user_id: UUID) -> None:
    """In the transaction that gives trading back: the passes that are left would cancel new orders. One that is under
    way at this moment may still do so."""
    await connection.execute("DELETE FROM order_cancellations WHERE user_id = $1", user_id)


class OrderCancellations:
    """Makes the passes."""

    def __init__(self, pool: Pool, orders: OrderClient) -> None:
        self._pool = pool
        self._orders = orders

    async def run(self) -> None:
        """For ever; ends by being cancelled."""
        while True:
            try:
                due = await self._claim()
            except POSTGRES_AWAY as error:
                log.warning("orders to cancel wait for Postgres", reason=type(error).__name__)
                due = []
            await asyncio.gather(*(self._try(each) for each in due))
            if not due:
                await asyncio.sleep(IDLE_SECONDS)

    async def _try(self, due: Due) -> None:
        try:
            cancelled = await self._orders.cancel_orders_of(
                due.user_id, minimum_version=due.access_version, timeout_seconds=ATTEMPT_SECONDS
            )
            await self._note_made(due)
        except (CancellingFailed, *POSTGRES_AWAY) as error:
            metrics.CANCELLATIONS.labels("failed").inc()
            reason = str(error) if isinstance(error, CancellingFailed) else type(error).__name__
            log.warning("orders are cancelled later", user_id=str(due.user_id), reason=reason)
            return
        metrics.CANCELLATIONS.labels("made").inc()
        log.info("orders cancelled", user_id=str(due.user_id), orders=cancelled, number=due.passes_made + 1)

    async def _note_made(self, due: Due) -> None:
        """Nothing, when it was asked for again or withdrawn meanwhile."""
        made = due.passes_made + 1
        if made == len(PASSES_AFTER_SECONDS):
            await self._pool.execute(
                "DELETE FROM order_cancellations WHERE user_id = $1 AND requested_at = $2",
                due.user_id,
                due.requested_at,
            )
            return
        await self._pool.execute(
            """
            UPDATE order_cancellations SET passes_made = $3, attempts = 0,
                next_attempt_at = greatest(now(), requested_at + make_interval(secs => $4))
            WHERE user_id = $1 AND requested_at = $2
            """,
            due.user_id,
            due.requested_at,
            made,
            PASSES_AFTER_SECONDS[made],
        )

    async def _claim(self) -> Sequence[Due]:
        """Due ones, put off to their next attempt: other processes leave them alone until then."""
        rows = await self._pool.fetch(
            """
            UPDATE order_cancellations SET attempts = attempts + 1, next_attempt_at
                = now() + make_interval(secs => least($2::integer, power(2, least(attempts, 10))))
            WHERE user_id IN (
                SELECT user_id FROM order_cancellations WHERE next_attempt_at <= now()
                ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED
            )
            RETURNING user_id, access_version, requested_at, passes_made
            """,
            ROUND_MAX,
            BACKOFF_MAX_SECONDS,
        )
        return [
            Due(row["user_id"], row["access_version"], row["requested_at"], row["passes_made"])
            for row in rows
        ]
