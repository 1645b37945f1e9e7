"""Backfill and rebuild: everything from PostgreSQL, while nobody else writes."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analytics import schema
from analytics.clickhouse import ClickHouse, Place, opened
from analytics.ingest.catch_up import CatchUp
from analytics.ingest.database import Database
from analytics.ingest.follow import WRITER_LOCK
from analytics.ingest.positions import Positions
from analytics.ingest.tables import TABLES
from analytics.ingest.writer import Writer
from runtime.postgres import Connection, Pool


class WriterBusy(Exception):
    """Another process writes; the message is for people."""


async def take_writers_place(connection: Connection) -> None:
    """For as long as the connection lives. Raises WriterBusy."""
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", WRITER_LOCK):
        raise WriterBusy("analytics is running and writes: stop it first")


async def backfill(clickhouse: ClickHouse, pool: Pool, console: Console) -> int:
    """Writes what is missing, with progress; how many rows that were."""
    await schema.apply(clickhouse)
    positions = Positions(clickhouse)
    database = Database(pool)
    writer = Writer(clickhouse, positions, database.fetch)
    await writer.load()
    catch_up = CatchUp(database, positions, writer)
    behind = await catch_up.behind()
    events = sum(to_seq - after_seq for after_seq, to_seq in behind.values())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"events of {len(behind):,} markets", total=events)
        return await catch_up.all(lambda count: progress.advance(task, count))


async def rebuild(place: Place, pool: Pool, console: Console) -> int:
    """Makes all tables anew beside the old ones, then exchanges them one by one; readers never see half a table."""
    async with opened(place) as old:
        await schema.apply(old)
    async with opened(replace(place, database=f"{place.database}_rebuild")) as fresh:
        await fresh.drop_database()
        rows = await backfill(fresh, pool, console)
        for table in TABLES:
            await fresh.command(
                f"EXCHANGE TABLES {place.database}.{table.name} AND {fresh.place.database}.{table.name}"
            )
        await fresh.drop_database()
        return rows
