"""The first grant: order_service is asked until it has been paid, so that registering works while it is down.

A grant's key is `grant:<user_id>` and its amount stands on the user's row, so asking twice pays once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from auth_service import metrics
from auth_service.database import Pool
from auth_service.identity import TREASURY_ID
from auth_service.order_client import OrderClient, PaymentFailed
from runtime.logs import get_logger

log = get_logger(__name__)

ROUND_MAX = 100
"""Grants claimed in one round of the loop."""

AT_ONCE_MAX = 8
"""Grants asked for side by side; order_service puts them into one batch."""

ATTEMPT_SECONDS = 5.0
IDLE_SECONDS = 1.0

BACKOFF_MAX_SECONDS = 3
"""Attempts of one grant are 1, 2, then 3 s apart: a restarted order_service is asked soon, and a round is bounded."""

POSTGRES_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass(frozen=True, slots=True)
class DueGrant:
    """A first grant that is not known to be paid."""

    user_id: UUID
    amount_micros: int

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt."""
        return f"grant:{self.user_id}"

    @property
    def is_genesis(self) -> bool:
        """The treasury's first funding, from which all markets' liquidity is paid."""
        return self.user_id == TREASURY_ID


class FirstGrants:
    """Pays first grants: one at once when somebody registers, the rest from a loop."""

    def __init__(self, pool: Pool, orders: OrderClient) -> None:
        self._pool = pool
        self._orders = orders

    async def pay_now(self, grant: DueGrant, *, timeout_seconds: float) -> bool:
        """One attempt within the time-out; True when paid. The loop goes on from a failure."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._pay(grant, timeout_seconds=timeout_seconds)
        except (PaymentFailed, *POSTGRES_AWAY) as error:
            log.info("first grant postponed", user_id=str(grant.user_id), reason=_reason(error))
            return False
        return True

    async def run(self) -> None:
        """Pays what is due, for ever; ends by being cancelled."""
        while True:
            try:
                paid = await self.pay_due()
            except POSTGRES_AWAY as error:
                log.warning("first grants wait for Postgres", reason=_reason(error))
                paid = 0
            if paid == 0:
                await asyncio.sleep(IDLE_SECONDS)

    async def pay_due(self) -> int:
        """One round: claims due grants, asks for each, and returns how many were paid."""
        due = await self._claim()
        places = asyncio.Semaphore(AT_ONCE_MAX)
        failures = [why for why in await asyncio.gather(*(self._try(grant, places) for grant in due)) if why]
        if failures:
            log.warning("first grants failed, asked again soon", failed=len(failures), reason=failures[0])
        return len(due) - len(failures)

    async def _try(self, grant: DueGrant, places: asyncio.Semaphore) -> str:
        """Why it failed; empty when it was paid."""
        async with places:
            try:
                await self._pay(grant, timeout_seconds=ATTEMPT_SECONDS)
            except (PaymentFailed, *POSTGRES_AWAY) as error:
                return _reason(error)
        return ""

    async def _pay(self, grant: DueGrant, *, timeout_seconds: float) -> None:
        try:
            await self._orders.pay(
                idempotency_key=grant.idempotency_key,
                user_id=grant.user_id,
                amount_micros=grant.amount_micros,
                is_genesis=grant.is_genesis,
                timeout_seconds=timeout_seconds,
            )
        except PaymentFailed:
            metrics.FIRST_GRANTS.labels("failed").inc()
            raise
        metrics.FIRST_GRANTS.labels("paid").inc()
        await self._pool.execute(
            "UPDATE users SET granted_at = now() WHERE user_id = $1 AND granted_at IS NULL", grant.user_id
        )

    async def _claim(self) -> Sequence[DueGrant]:
        """Due grants, put off to their next attempt: other processes leave them alone until then."""
        rows = await self._pool.fetch(
            """
            UPDATE users SET grant_attempts = grant_attempts + 1, grant_next_attempt_at
                = now() + make_interval(secs => least($2::integer, power(2, least(grant_attempts, 10))))
            WHERE user_id IN (
                SELECT user_id FROM users WHERE granted_at IS NULL AND grant_next_attempt_at <= now()
                ORDER BY grant_next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED
            )
            RETURNING user_id, grant_micros
            """,
            ROUND_MAX,
            BACKOFF_MAX_SECONDS,
        )
        return [DueGrant(row["user_id"], row["grant_micros"]) for row in rows]


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, PaymentFailed) else type(error).__name__
