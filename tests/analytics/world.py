"""Markets with a past, in PostgreSQL and in ClickHouse: read only, so one for all tests of a file."""

from __future__ import annotations

import random
from dataclasses import dataclass

from analytics import schema
from analytics.clickhouse import ClickHouse
from analytics.ingest.rows import Message
from engine.state import Verdict
from runtime.postgres import open_pool
from runtime.topics import Topic
from tests.analytics import traffic
from tests.analytics.copying import copier, differences, messages
from tests.db_service.shard import connect
from tests.servers import Database

COMMANDS = 120


@dataclass(slots=True)
class World:
    """Markets with a past, in PostgreSQL and in ClickHouse."""

    database: Database
    clickhouse: ClickHouse
    now: int
    """The time of the last event."""
    open_market: str
    decided: dict[str, Verdict]
    told: dict[Topic, list[Message]]

    def of(self, topic: Topic, market_id: str) -> list[Message]:
        return [message for message in self.told[topic] if message.market_id == market_id]


async def made(database: Database, clickhouse: ClickHouse) -> World:
    seed = random.randrange(10**6)
    print("seed", seed)
    source = random.Random(seed)
    connection = await connect(database.url_for("pm_order"))
    shard = await traffic.opened(connection)
    decided = {}
    for outcome in (Verdict.YES, Verdict.NO, Verdict.YES):
        market_id = await traffic.traded(shard, source, 15)
        await traffic.resolved(shard, market_id, outcome)
        decided[market_id] = outcome
    market_id = await traffic.traded(shard, source, COMMANDS)
    await connection.close()
    await clickhouse.open()
    await schema.apply(clickhouse)
    async with open_pool(database.url_for("pm_analytics"), name="test", min_size=1, max_size=4) as pool:
        copying = copier(clickhouse, pool)
        await copying.writer.load()
        await copying.catch_up.all()
        reader = await connect(database.url_for("pm_analytics"))
        assert await differences(clickhouse, reader) == []
        await reader.close()
        return World(database, clickhouse, shard.now, market_id, decided, await messages(pool))


async def ended(clickhouse: ClickHouse) -> None:
    await clickhouse.drop_database()
    await clickhouse.close()
