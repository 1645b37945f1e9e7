"""A database with a past: markets that were traded for days, three of them resolved, copied as analytics does it."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack

from analytics import schema
from analytics.clickhouse import Place, opened
from engine.state import Verdict
from runtime.postgres import open_pool
from tests.analytics import traffic
from tests.analytics.copying import copier
from tests.db_service.shard import connect
from tests.servers import Database

COMMANDS = 25


async def make_past(database: Database, place: Place, seed: int = 7) -> None:
    """The same for the same seed, times apart."""
    source = random.Random(seed)
    connection = await connect(database.url_for("pm_order"))
    shard = await traffic.opened(connection)
    for outcome in (Verdict.YES, Verdict.NO, Verdict.YES):
        market_id = await traffic.traded(shard, source, COMMANDS)
        await traffic.resolved(shard, market_id, outcome)
    await traffic.traded(shard, source, 3 * COMMANDS)
    await connection.close()
    async with AsyncExitStack() as stack:
        clickhouse = await stack.enter_async_context(opened(place))
        await schema.apply(clickhouse)
        pool = await stack.enter_async_context(
            open_pool(database.url_for("pm_analytics"), name="test", min_size=1, max_size=4)
        )
        copying = copier(clickhouse, pool)
        await copying.writer.load()
        await copying.catch_up.all()
