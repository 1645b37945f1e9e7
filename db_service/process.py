"""Wires db_service, top to bottom."""

from __future__ import annotations

import asyncio

import asyncpg
import stamina

from db_service.migrate import MONTHS_AHEAD
from db_service.rpc import SERVICE_NAME, DbServicer
from db_service.settings import DbSettings
from predmarket.db.v1 import db_pb2_grpc
from runtime import postgres
from runtime.lifecycle import Process
from runtime.logs import get_logger
from runtime.postgres import Pool
from runtime.surprises import AWAY

log = get_logger(__name__)

UPKEEP_SECONDS = 3600.0
UPKEEP_RETRY_SECONDS = 60.0
FORGET_AT_ONCE = 10_000


async def serve(process: Process, settings: DbSettings) -> None:
    """Starts everything; returns when the process can serve."""
    primary = await process.enter(
        postgres.open_pool(settings.database_url.get_secret_value(), name=process.instance)
    )
    process.ready_when("postgres", lambda: postgres.answers(primary))
    replica = primary
    if settings.database_read_url is not None:
        replica = await process.enter(
            postgres.open_pool(
                settings.database_read_url.get_secret_value(), name=f"{process.instance}-replica"
            )
        )
        process.ready_when("replica", lambda: postgres.answers(replica))
    await _until_migrated(primary)
    process.spawn(_upkeep(primary), name="upkeep")
    servicer = DbServicer(primary=primary, replica=replica, verifier=process.token_verifier())
    await process.serve_grpc(
        [SERVICE_NAME], lambda server: db_pb2_grpc.add_DbServiceServicer_to_server(servicer, server)
    )


async def _until_migrated(pool: Pool) -> None:
    """Services start in any order, and the migrations may still run."""
    async for attempt in stamina.retry_context(
        on=(asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError),
        attempts=None,
        timeout=None,
        wait_initial=0.1,
        wait_max=1.0,
    ):
        with attempt:
            await pool.fetchval("SELECT count(*) FROM settings")


async def _upkeep(pool: Pool) -> None:
    """Partitions for the coming months, and keys nobody will repeat any more. Any number of processes may do it."""
    while True:
        try:
            await upkeep_once(pool)
            await asyncio.sleep(UPKEEP_SECONDS)
        except AWAY as error:
            log.warning("upkeep could not be done", error=type(error).__name__)
            await asyncio.sleep(UPKEEP_RETRY_SECONDS)


async def upkeep_once(pool: Pool) -> None:
    """One round."""
    made = await pool.fetchval("SELECT ensure_partitions($1)", MONTHS_AHEAD)
    forgotten = 0
    while count := await pool.fetchval("SELECT forget_old_keys($1)", FORGET_AT_ONCE):
        forgotten += count
    log.info("upkeep done", partitions_made=made, keys_forgotten=forgotten)
