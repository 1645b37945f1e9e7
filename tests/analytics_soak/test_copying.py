"""Some hundred trades and a few kills; `make soak-analytics` does it with a million trades and fifty kills."""

import random
from pathlib import Path

from launcher.embedded import NatsServer
from tests.analytics_soak.copying import Campaign, Watch
from tests.servers import Database

TRADES = 2_000
KILLS = 2


async def test_a_copy_made_through_kills_and_restarts_equals_postgres(
    fresh_database: Database, private_nats: NatsServer, private_folder: Path
) -> None:
    seed = str(random.randrange(10**6))
    print("seed", seed)
    campaign = Campaign(fresh_database, private_nats, private_folder / "clickhouse", seed, Watch(say=print))
    seen = await campaign.run(TRADES, KILLS, working_seconds=2.0, markets_per_shard=2)
    assert seen.different == []
    assert seen.trades >= TRADES
    assert (seen.kills, seen.bus_restarts) == (KILLS, 1)
    assert seen.moved_back >= 1
    assert seen.candles > 0
