"""A writer over the embedded engine and PostgreSQL, and the messages the bus would bring."""

from __future__ import annotations

from dataclasses import dataclass

from analytics.clickhouse import ClickHouse
from analytics.ingest.catch_up import CatchUp
from analytics.ingest.database import Database
from analytics.ingest.positions import Positions
from analytics.ingest.rows import Message
from analytics.ingest.tables import TABLES
from analytics.ingest.writer import Writer
from analytics.reconcile import reconcile
from runtime.postgres import Connection, Pool
from runtime.topics import Topic


@dataclass(slots=True)
class Copier:
    """What a process of analytics has in its memory."""

    database: Database
    positions: Positions
    writer: Writer
    catch_up: CatchUp


def copier(clickhouse: ClickHouse, pool: Pool) -> Copier:
    """A new process, which knows nothing yet."""
    database = Database(pool)
    positions = Positions(clickhouse)
    writer = Writer(clickhouse, positions, database.fetch)
    return Copier(database, positions, writer, CatchUp(database, positions, writer))


async def messages(pool: Pool) -> dict[Topic, list[Message]]:
    """Everything there is, as the bus brings it: per topic, each market's in order."""
    database = Database(pool)
    found: dict[Topic, list[Message]] = {topic: [] for topic in Topic}
    for market_id, seq in sorted((await database.heads()).items()):
        async for some in database.fetch(market_id, tuple(Topic), 0, seq):
            for topic, message in some:
                found[topic].append(message)
    return found


async def counts(clickhouse: ClickHouse) -> dict[str, int]:
    """Stored rows per table, repeated ones too."""
    return {
        table.name: (await clickhouse.stored_rows(f"SELECT count() FROM {table.name}"))[0][0]
        for table in TABLES
    }


async def differences(clickhouse: ClickHouse, connection: Connection) -> list[str]:
    """What `reconcile` finds."""
    lines = await reconcile(clickhouse, connection, wait_seconds=0.5)
    return [f"{line.what}: {line.postgres} {line.clickhouse}" for line in lines if not line.is_equal]
