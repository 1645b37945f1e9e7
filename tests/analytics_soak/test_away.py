"""A few seconds without ClickHouse; `make soak-clickhouse` takes it away for two minutes."""

from pathlib import Path

from launcher.embedded import NatsServer
from tests.analytics_soak.away import Phase, clickhouse_away
from tests.servers import Database

AWAY_SECONDS = 2.0
RATE = 40.0
NOTICED_MS = 2_000.0
"""Ten times what an order may take."""


async def test_without_clickhouse_orders_go_on_and_analytics_is_equal_when_it_is_back(
    fresh_database: Database, private_nats: NatsServer, private_folder: Path
) -> None:
    findings = await clickhouse_away(
        fresh_database, private_nats.url, private_folder / "clickhouse", away_seconds=AWAY_SECONDS, rate=RATE
    )
    assert findings.refused == []
    assert len(findings.latencies[Phase.AWAY]) >= AWAY_SECONDS * RATE / 2
    assert findings.p50_ms(Phase.AWAY) < NOTICED_MS
    print(f"equal {findings.equal_after_seconds:.1f} s after ClickHouse was back")
