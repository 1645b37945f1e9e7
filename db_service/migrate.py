"""Brings a database to the newest schema, and seeds what every process expects there."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from engine.commands import system_stream_id
from runtime.logs import get_logger
from runtime.postgres import Connection

MIGRATIONS = Path(__file__).with_name("migrations")
ONE_AT_A_TIME = 7305200
"""Advisory lock: of two who migrate at once, the second waits and then finds nothing to do."""
SHARDS_DEFAULT = 4
MONTHS_AHEAD = 12

log = get_logger(__name__)


class MigrationError(Exception):
    """The database is not what this program can work with. The message says why."""


def migrate(database_url: str, shard_count: int | None = None) -> None:
    """All missing migrations, in one transaction. Raises MigrationError when `shard_count` is not the database's."""
    asyncio.run(migrate_async(database_url, shard_count))


async def migrate_async(database_url: str, shard_count: int | None = None) -> None:
    """As `migrate`, for who already runs a loop."""
    connection = await asyncpg.connect(database_url, server_settings={"client_min_messages": "warning"})
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", ONE_AT_A_TIME)
            current = await current_revision(connection)
            script = script_from(current)
            if script:
                await connection.execute(script)
            await _seed(connection, shard_count)
            await connection.execute("SELECT ensure_partitions($1)", MONTHS_AHEAD)
            log.info("migrated", revision_before=current or "", revision=newest_revision())
    finally:
        await connection.close()


async def current_revision(connection: Connection) -> str | None:
    """The revision this database is at; None: no schema yet."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision


def newest_revision() -> str:
    """The revision this program expects."""
    head = ScriptDirectory.from_config(_config(io.StringIO())).get_current_head()
    assert head is not None, "there is a migration"
    return head


def script_from(current: str | None) -> str:
    """The SQL from `current` to the newest revision; empty when there is nothing to do."""
    newest = newest_revision()
    if current == newest:
        return ""
    output = io.StringIO()
    command.upgrade(_config(output), f"{current}:{newest}" if current else newest, sql=True)
    return output.getvalue()


def _config(output: io.StringIO) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


async def _seed(connection: Connection, wanted: int | None) -> None:
    kept = await connection.fetchval("SELECT value FROM settings WHERE name = 'shard_count'")
    if kept is not None and wanted is not None and int(kept) != wanted:
        raise MigrationError(f"this database has {kept} shards, and keeps them; SHARD_COUNT says {wanted}")
    if kept is not None:
        return
    count = wanted or SHARDS_DEFAULT
    await connection.execute("INSERT INTO settings (name, value) VALUES ('shard_count', $1)", str(count))
    await connection.executemany(
        "INSERT INTO shards (shard_id) VALUES ($1)", [(shard,) for shard in range(count)]
    )
    await connection.executemany(
        "INSERT INTO system_streams (shard_id, market_id) VALUES ($1, $2)",
        [(shard, system_stream_id(shard)) for shard in range(count)],
    )
