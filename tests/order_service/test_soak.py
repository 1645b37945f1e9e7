"""SIGKILL at random moments under load; `make soak-kill` does it two hundred times."""

from __future__ import annotations

import os
from statistics import median

from launcher.embedded import NatsServer
from tests.order_service.soak import Report, Soak
from tests.order_service.support import Issuer
from tests.servers import Database

KILLS = int(os.environ.get("SOAK_KILLS", "4"))
SEED = int(os.environ.get("SOAK_SEED", "20261122"))


def show(report: Report) -> None:
    print(
        f"kill {report.kills}/{KILLS}: {len(report.acknowledged)} acknowledged, {report.refused} refused,"
        f" back after {report.back_seconds[-1]:.2f} s (median {median(report.back_seconds):.2f} s)",
        flush=True,
    )


async def test_killed_at_random_under_load_nothing_acknowledged_is_lost(
    issuer: Issuer, fresh_database: Database, nats_server: NatsServer
) -> None:
    print(f"seed {SEED}")
    report = await Soak(issuer, fresh_database, nats_server.url, seed=SEED).run(KILLS, show)
    assert report.kills == KILLS
    assert len(report.acknowledged) > 20 * KILLS
