"""The commands as an operator calls them: backfill, rebuild and reconcile against real servers.

Where the embedded engine is not needed and nobody is killed they run in this process, which spares seconds of imports.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analytics.__main__ import app
from analytics.clickhouse import ClickHouse, Place, opened
from launcher.embedded import NatsServer
from runtime.postgres import Connection
from tests.analytics import traffic
from tests.analytics.processes import Analytics, ClickHouseServer, ended, settings_of
from tests.db_service.shard import played
from tests.servers import Database

COMMAND_SECONDS = 120
ORDERS = 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    text: str

    @property
    def rows_written(self) -> int:
        """As its last line says."""
        return int(self.text.split(" rows written")[0].split()[-1].replace(",", ""))


@pytest.fixture
async def server(private_folder: Path) -> AsyncIterator[ClickHouseServer]:
    server = ClickHouseServer(private_folder / "clickhouse")
    async with ended(server):
        await server.start()
        yield server


def environment(database: Database, place: Place) -> dict[str, str]:
    where = {"CLICKHOUSE_URL": place.url} if place.url else {"CLICKHOUSE_FOLDER": str(place.folder)}
    return {**os.environ, "COLUMNS": "120", "DATABASE_URL": database.url_for("pm_analytics"), **where}


async def started(command: str, settings: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "analytics", command),
        env=settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def run(command: str, settings: Mapping[str, str]) -> Outcome:
    result = await asyncio.to_thread(CliRunner(env=settings).invoke, app, [command])
    return Outcome(result.exit_code, result.output)


async def run_alone(command: str, settings: Mapping[str, str]) -> Outcome:
    """In a process of its own."""
    process = await started(command, settings)
    async with asyncio.timeout(COMMAND_SECONDS):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return Outcome(process.returncode, out.decode())


async def stored(clickhouse: ClickHouse, table: str) -> int:
    count: int = (await clickhouse.stored_rows(f"SELECT count() FROM {table}"))[0][0]
    return count


async def test_backfill_writes_what_is_missing_once_whenever_it_is_killed(
    server: ClickHouseServer, fresh_database: Database, writer: Connection
) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    source = random.Random(seed)
    shard = await traffic.opened(writer)
    market_id = await traffic.traded(shard, source, ORDERS)
    settings = environment(fresh_database, server.place)
    for _ in range(2):
        process = await started("backfill", settings)
        await asyncio.sleep(source.uniform(0.8, 2.5))
        if process.returncode is None:
            process.kill()
        await process.communicate()
    finished = await run_alone("backfill", settings)
    assert finished.code == 0, finished.text
    assert (await run("reconcile", settings)).code == 0
    assert (await run("backfill", settings)).rows_written == 0
    await traffic.traded(shard, source, 5, market_id)
    more = await run("backfill", settings)
    assert more.rows_written > 0
    assert "events of 1 markets" in more.text
    compared = await run("reconcile", settings)
    assert compared.code == 0, compared.text


async def test_rebuild_mends_what_was_damaged_and_readers_never_see_half_a_table(
    server: ClickHouseServer, fresh_database: Database, writer: Connection
) -> None:
    await played(writer)
    settings = environment(fresh_database, server.place)
    assert (await run("backfill", settings)).code == 0
    async with opened(server.place) as clickhouse:
        whole = await stored(clickhouse, "fills")
        await clickhouse.command("ALTER TABLE fills DELETE WHERE liquidity = 'MAKER'", {"mutations_sync": 1})
        damaged = await stored(clickhouse, "fills")
        assert 0 < damaged < whole
        found = await run("reconcile", settings)
        assert found.code == 1
        assert f"differs by {damaged - whole}" in found.text
        assert (await run("backfill", settings)).rows_written == 0, "it only looks at what never came"

        rebuilding = asyncio.create_task(run("rebuild", settings))
        seen = {damaged}
        while not rebuilding.done():
            seen.add(await stored(clickhouse, "fills"))
            await asyncio.sleep(0.02)
        outcome = rebuilding.result()
        assert outcome.code == 0, outcome.text
        assert outcome.rows_written > whole
        assert seen <= {damaged, whole}
        assert await stored(clickhouse, "fills") == whole
        left = await clickhouse.rows("SELECT name FROM system.databases WHERE name LIKE '%rebuild%'")
        assert not left
    assert (await run("reconcile", settings)).code == 0


async def test_they_refuse_beside_a_process_that_writes_and_reconcile_asks_it(
    private_folder: Path, fresh_database: Database, writer: Connection, private_nats: NatsServer
) -> None:
    await played(writer)
    place = Place(folder=private_folder / "clickhouse")
    settings = environment(fresh_database, place)
    process = Analytics(settings_of(fresh_database, private_nats.url, place))
    async with ended(process):
        await process.start()
        await process.until_equal()
        for command in ("backfill", "rebuild"):
            refused = await run(command, settings)
            assert refused.code == 1
            assert "stop it first" in refused.text
        ops_url = f"http://127.0.0.1:{process.ops_port}"
        asked = await run("reconcile", {**settings, "ANALYTICS_OPS_URL": ops_url})
        assert asked.code == 0, asked.text
    rebuilt = await run_alone("rebuild", settings)
    assert rebuilt.rows_written > 0
    compared = await run_alone("reconcile", settings)
    assert compared.code == 0, compared.text
