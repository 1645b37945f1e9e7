"""Keeps the process' key ring as Postgres has it, and changes the key when it has become old."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import asyncpg

from auth_service import keys
from auth_service.database import Pool, transaction
from auth_service.identity import SYSTEM_ACTOR
from auth_service.keys import KeyRing
from runtime.logs import get_logger

log = get_logger(__name__)

RELOAD_SECONDS: Final = 2.0
"""How far apart processes are in taking a new key into use."""

POSTGRES_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """A key signs for `key_age`; its successor is published `publish_ahead` before it signs."""

    key_age: timedelta
    publish_ahead: timedelta


class KeyRotation:
    """`ring` is the newest known one; `on_change` is told of each."""

    def __init__(
        self, pool: Pool, ring: KeyRing, settings: RotationSettings, on_change: Callable[[KeyRing], None]
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._on_change = on_change
        self.ring = ring

    async def run(self) -> None:
        """For ever; ends by being cancelled. While Postgres is away, the known key goes on signing."""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                await self.renew()
            except POSTGRES_AWAY as error:
                log.warning("the signing keys wait for Postgres", reason=type(error).__name__)

    async def renew(self) -> None:
        """One round: an old key gets a successor, a superseded one is retired, and the ring is read again."""
        async with transaction(self._pool) as connection:
            created = await keys.add(
                connection,
                actor_id=SYSTEM_ACTOR,
                reason="the key that signs has become old",
                publish_ahead=self._settings.publish_ahead,
                unless_newer_than=self._settings.key_age,
            )
            retired = await keys.retire_superseded(connection)
            ring = await keys.load(connection)
        if created or retired:
            log.info("signing keys changed", created=created or "", retired=" ".join(retired))
        if ring is not None and ring != self.ring:
            self.ring = ring
            self._on_change(ring)
