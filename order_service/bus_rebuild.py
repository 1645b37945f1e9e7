"""Both buses, wiped and made anew from PostgreSQL. The relays of the running processes do the publishing, as ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from order_service import relay
from order_service.bus import Bus
from order_service.event_queue import HELD_SECONDS, IDLE_SECONDS
from order_service.settings import BusSettings
from order_service.topic_sinks import target_of
from runtime.jetstream_topics import away
from runtime.postgres import Pool
from runtime.topic_admin import delete_topics, ensure_topics

NOTICED_SECONDS: Final = IDLE_SECONDS + 2 * HELD_SECONDS
"""A relay has noticed by then that its cursor is held; what a late one still publishes is a repeat."""

LOOK_SECONDS: Final = 0.3
STALLED_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one bus is: events of all shards that are published again, of those there were."""

    target: str
    done: int
    total: int


class Stalled(Exception):
    """Nobody publishes: no order_service runs, or the bus is away. The rebuild goes on when that is mended."""


async def rebuild(settings: BusSettings, pool: Pool) -> AsyncIterator[list[Progress]]:
    """Wipes both, then tells how far they are until everything is back. Raises TopicsAway, Stalled.

    Whatever fails in between, the cursors are at the beginning afterwards: everything is published once more.
    """
    targets = [relay.TARGET, target_of(settings)]
    async with _held(pool, targets):
        await asyncio.sleep(NOTICED_SECONDS)
        await _wipe(settings)
    heads = await pool.fetchval("SELECT coalesce(sum(commit_seq), 0)::bigint FROM shards")
    last, since = -1, time.monotonic()
    while True:
        progress = [Progress(target, await _done(pool, target), heads) for target in targets]
        yield progress
        done = sum(one.done for one in progress)
        if all(one.done >= one.total for one in progress):
            return
        if done > last:
            last, since = done, time.monotonic()
        elif time.monotonic() - since > STALLED_SECONDS:
            raise Stalled("nothing is being published: does order_service run?")
        await asyncio.sleep(LOOK_SECONDS)


async def _wipe(settings: BusSettings) -> None:
    bus = Bus(settings.nats_url.get_secret_value(), "rebuild")
    try:
        with away():
            stream = await bus.stream()
            for config in relay.streams(settings.bus_max_bytes):
                assert config.name is not None
                await _delete(stream, config.name)
                await stream.add_stream(config)
    finally:
        await bus.close()
    await delete_topics(settings)
    await ensure_topics(settings)


async def _delete(stream: JetStreamContext, name: str) -> None:
    try:
        await stream.delete_stream(name)
    except NotFoundError:
        return


@asynccontextmanager
async def _held(pool: Pool, targets: list[str]) -> AsyncIterator[None]:
    """Nothing is published meanwhile; then all of it, from the beginning."""
    await pool.execute(
        """
        INSERT INTO relay_cursors (shard_id, target, held)
        SELECT shard_id, target, true FROM shards, unnest($1::text[]) AS wanted(target)
        ON CONFLICT (shard_id, target) DO UPDATE SET held = true
        """,
        targets,
    )
    try:
        yield
    finally:
        await pool.execute(
            "UPDATE relay_cursors SET held = false, commit_seq = 0 WHERE target = ANY($1::text[])", targets
        )


async def _done(pool: Pool, target: str) -> int:
    done: int = await pool.fetchval(
        "SELECT coalesce(sum(commit_seq), 0)::bigint FROM relay_cursors WHERE target = $1", target
    )
    return done
