"""SIGKILL at random moments under load; `make soak-kill` does it two hundred times."""

from __future__ import annotations

from launcher.embedded import NatsServer
from tests.order_service.soak import Soak
from tests.order_service.support import Issuer
from tests.servers import Database


async def test_killed_at_random_under_load_nothing_acknowledged_is_lost(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    report = await Soak(issuer, fresh_database, nats_server.url, seed=20261122).run(kills=4)
    assert report.kills == 4
    assert len(report.acknowledged) > 100
