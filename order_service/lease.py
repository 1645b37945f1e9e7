"""Which shards are ours. Leases live in PostgreSQL; a takeover raises the epoch, commits that, then loads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from db_service.store import loading, writes
from engine.core import Engine
from engine.events import Event
from order_service.failpoints import FailPoints
from order_service.jobs import Jobs
from order_service.metrics import EPOCH
from order_service.routing import Router
from order_service.seen_keys import SeenKeys
from order_service.settings import OrderSettings
from order_service.shard import Shard
from order_service.writer import LostShard, Ownership, Writer
from runtime import heap
from runtime.clock import Clock
from runtime.logs import get_logger
from runtime.postgres import Pool
from runtime.surprises import AWAY
from runtime.tasks import ended

log = get_logger(__name__)

KEYS_PER_READ = 500
HELPER_PAUSE_SECONDS = 1.0
HELPER_STOP_SECONDS = 3.0

_TAKE = """
    UPDATE shards SET epoch = epoch + 1, owner = $2, address = $3,
        lease_expires_at = clock_timestamp() + make_interval(secs => $4)
    WHERE shard_id = $1 AND (owner = $2
        OR lease_expires_at + make_interval(secs => $5) < clock_timestamp() AND (owner <> '' OR $6))
    RETURNING epoch, commit_seq, last_event_time
"""
_RELEASE = "UPDATE shards SET lease_expires_at = '-infinity' WHERE shard_id = $1 AND epoch = $2"


class WrongShardCount(Exception):
    """This process was configured for another number of shards than the database has."""


class Follower(Protocol):
    """A task beside a shard that is told what was committed."""

    def committed(self, first_commit_seq: int, events: Sequence[Event]) -> None: ...

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Me:
    """This process among its kind."""

    instance: str
    address: str


class Leases:
    """Takes shards, runs them, and gives them back at the end."""

    def __init__(
        self,
        *,
        pool: Pool,
        settings: OrderSettings,
        router: Router,
        clock: Clock,
        me: Me,
        make_followers: Callable[[int], Mapping[str, Follower]],
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._router = router
        self._clock = clock
        self._me = me
        self._make_followers = make_followers
        self._fail_points = FailPoints(settings.fail_point)
        self._shard_count = 0
        self._running: dict[int, asyncio.Task[None]] = {}
        self._since = clock.monotonic_seconds()
        self._stopping = False

    async def start(self) -> None:
        """Checks the number of shards and takes what is preferred and free. Raises WrongShardCount."""
        stored = await self._pool.fetchval("SELECT value FROM settings WHERE name = 'shard_count'")
        wanted = self._settings.shard_count
        if stored is None or (wanted and int(stored) != wanted):
            raise WrongShardCount(f"SHARD_COUNT is {wanted}, the database has {stored} shards")
        self._shard_count = int(stored)
        await self._look()

    async def run(self) -> None:
        """Looks for free shards until stopped."""
        while not self._stopping:
            await asyncio.sleep(min(1.0, self._settings.lease_seconds / 5))
            try:
                await self._look()
            except AWAY as error:
                log.warning("could not look for shards", error=type(error).__name__)

    async def stop(self) -> None:
        """Serve what waits, then give the leases back."""
        self._stopping = True
        shards = list(self._router.owned.values())
        for shard in shards:
            shard.stop()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=8.0)
        for shard in shards:
            hold = shard.writer.hold
            try:
                await self._pool.execute(_RELEASE, hold.shard_id, hold.epoch, timeout=1.0)
            except AWAY as error:  # then the lease expires by itself
                log.warning("a lease was not given back", error=type(error).__name__)

    async def _look(self) -> None:
        for shard_id in range(self._shard_count):
            if shard_id not in self._running and not self._stopping:
                await self._try(shard_id)

    async def _try(self, shard_id: int) -> None:
        preferred = shard_id in self._settings.preferred_shards()
        lease_seconds = self._settings.lease_seconds
        # A stand-by leaves the one who prefers the shard some time to come first.
        waited = self._clock.monotonic_seconds() - self._since > 2 * lease_seconds
        row = await self._pool.fetchrow(
            _TAKE,
            shard_id,
            self._me.instance,
            self._me.address,
            lease_seconds,
            0.0 if preferred else lease_seconds / 5,
            preferred or waited,
            timeout=5.0,
        )
        if row is None:
            return
        hold = Ownership(shard_id, row["epoch"], row["commit_seq"], row["last_event_time"])
        log.info("took a shard", shard=shard_id, epoch=hold.epoch, commit_seq=hold.commit_seq)
        renewing = asyncio.create_task(self._renew(hold), name="lease of a shard that is loaded")
        try:
            shard, followers = await self._load(hold)
        finally:
            await ended(renewing)
        self._router.owned[shard_id] = shard
        EPOCH.labels(str(shard_id)).set(hold.epoch)
        self._running[shard_id] = asyncio.create_task(self._own(shard, followers), name=f"shard {shard_id}")

    async def _renew(self, hold: Ownership) -> None:
        """Loading a large shard may take longer than the lease; a stand-by must not take it meanwhile."""
        while True:
            await asyncio.sleep(self._settings.lease_seconds / 4)
            try:
                async with self._pool.acquire() as connection:
                    await writes.renew_lease(
                        connection,  # type: ignore[arg-type]
                        hold.shard_id,
                        hold.epoch,
                        self._settings.lease_seconds,
                        timeout=5.0,
                    )
            except AWAY as error:
                log.warning("a lease was not renewed", error=type(error).__name__)

    async def _load(self, hold: Ownership) -> tuple[Shard, Mapping[str, Follower]]:
        """After the epoch is committed nobody else writes, so what is read now is final."""
        async with self._pool.acquire() as connection:
            with heap.loading():
                state = await loading.load_shard(connection, hold.shard_id)  # type: ignore[arg-type]
            last_trades = await loading.load_last_trades(connection, hold.shard_id)  # type: ignore[arg-type]
        writer = Writer(
            url=self._settings.database_url.get_secret_value(),
            name=f"{self._me.instance} shard {hold.shard_id}",
            lease_seconds=self._settings.lease_seconds,
            hold=hold,
            fail_points=self._fail_points,
        )
        followers = self._make_followers(hold.shard_id)

        def committed(first_commit_seq: int, events: Sequence[Event]) -> None:
            for follower in followers.values():
                follower.committed(first_commit_seq, events)
            self._router.watchers.committed(events)

        shard = Shard(
            engine=Engine(state),
            writer=writer,
            seen=SeenKeys(),
            limits=self._settings.limits(),
            clock=self._clock,
            fail_points=self._fail_points,
            on_committed=committed,
            last_trade_seq=last_trades,
        )
        return shard, followers

    async def _own(self, shard: Shard, followers: Mapping[str, Follower]) -> None:
        """Until stopped or lost; its helpers end with it."""
        helpers = [
            *(
                asyncio.create_task(_kept_running(follower.run), name=name)
                for name, follower in followers.items()
            ),
            asyncio.create_task(_kept_running(Jobs(shard, self._settings).run), name="jobs"),
            asyncio.create_task(_kept_running(partial(self._load_keys, shard)), name="keys"),
        ]
        try:
            await shard.run()
        except LostShard:
            log.error("lost a shard", shard=shard.shard_id, epoch=shard.writer.hold.epoch)
        except Exception as error:  # a defect: the shard is taken anew, with a new epoch, and loaded again
            log.error("a shard stopped", shard=shard.shard_id, exc_info=error)
        finally:
            self._router.owned.pop(shard.shard_id, None)
            self._router.watchers.committed(())  # they learn who owns it now
            EPOCH.labels(str(shard.shard_id)).set(0)
            late = await ended(*helpers, within_seconds=HELPER_STOP_SECONDS)
            if late:  # the shard is not kept from its next owner by them; without it they can do no harm
                log.error("helpers of a shard did not end", helpers=[task.get_name() for task in late])
            self._running.pop(shard.shard_id, None)

    async def _load_keys(self, shard: Shard) -> None:
        """In the background; until it is done every key asks the table."""
        while True:
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    keys = connection.cursor("SELECT user_id, key FROM idempotency", prefetch=KEYS_PER_READ)
                    async for row in keys:
                        shard.seen.add(str(row["user_id"]), row["key"])
                        if shard.seen.dropped:  # then every key asks anyhow
                            break
            except AWAY as error:
                log.warning("could not load keys", error=type(error).__name__)
                await asyncio.sleep(1.0)
            else:
                shard.seen.ready = True
                return


async def _kept_running(run: Callable[[], Awaitable[None]]) -> None:
    """A helper that breaks is a defect; the shard trades on, and the helper is begun again."""
    while True:
        try:
            await run()
        except Exception as error:
            log.error("a helper of a shard broke", exc_info=error)
            await asyncio.sleep(HELPER_PAUSE_SECONDS)
        else:
            return
