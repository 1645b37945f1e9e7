"""`python -m analytics` serves; `migrate`, `backfill`, `rebuild` and `reconcile` are commands."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import typer
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import ValidationError
from rich.console import Console

from analytics import schema
from analytics.clickhouse import ClickHouseAway, FolderTaken, opened
from analytics.process import serve
from analytics.rebuild import WriterBusy, backfill, rebuild, take_writers_place
from analytics.reconcile import Line, print_lines, reconcile
from analytics.settings import AnalyticsSettings, CommandSettings
from runtime import postgres
from runtime.lifecycle import run_service
from runtime.postgres import Pool

OPS_SECONDS = 600

app = typer.Typer(add_completion=False, help="Figures over time: events in ClickHouse.")


@app.callback(invoke_without_command=True)
def serve_command(context: typer.Context) -> None:
    """Without a command: ingest and serve."""
    if context.invoked_subcommand is None:
        run_service("analytics", AnalyticsSettings, serve)


@app.command("migrate")
def migrate_command() -> None:
    """Bring ClickHouse to the newest schema. The process does it at its start, too."""
    settings = _settings()

    async def work() -> list[str]:
        async with opened(settings.place()) as clickhouse:
            return await schema.apply(clickhouse)

    Console().print(_finished(work) or "nothing to do")


@app.command("backfill")
def backfill_command() -> None:
    """Write what PostgreSQL has and ClickHouse lacks. Can be cut off and repeated."""
    settings = _settings()

    async def work(pool: Pool, console: Console) -> int:
        async with opened(settings.place()) as clickhouse:
            return await backfill(clickhouse, pool, console)

    _report(settings, work)


@app.command("rebuild")
def rebuild_command() -> None:
    """Make all tables anew from PostgreSQL, then put them in the place of the old ones."""
    settings = _settings()
    _report(settings, lambda pool, console: rebuild(settings.place(), pool, console))


@app.command("reconcile")
def reconcile_command() -> None:
    """Compare every count, volume and fee with PostgreSQL; exit 1 where they differ."""
    settings = _settings()
    lines = _asked(settings.analytics_ops_url) if settings.analytics_ops_url else None
    if lines is None:
        lines = _finished(lambda: _compared(settings))
    print_lines(lines, Console())
    raise typer.Exit(0 if all(line.is_equal for line in lines) else 1)


def _settings() -> CommandSettings:
    try:
        return CommandSettings()
    except ValidationError as error:
        problems = "; ".join(
            f"{'_'.join(map(str, problem['loc'])).upper()} {problem['msg']}".strip()
            for problem in error.errors()
        )
        raise SystemExit(f"analytics: {problems}") from None


def _finished(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    try:
        return asyncio.run(work())
    except (
        ClickHouseAway,
        FolderTaken,
        WriterBusy,
        schema.SchemaTooNew,
        asyncpg.PostgresError,
        OSError,
    ) as error:
        raise SystemExit(f"analytics: {error}") from None
    except DatabaseError as error:
        raise SystemExit(f"analytics: ClickHouse says {error}") from None


def _report(settings: CommandSettings, work: Callable[[Pool, Console], Coroutine[Any, Any, int]]) -> None:
    console = Console()

    async def as_the_writer() -> int:
        url = settings.database_url.get_secret_value()
        connection = await postgres.connect(url, name="analytics-command", wait=False)
        try:
            await take_writers_place(connection)
            async with postgres.open_pool(url, name="analytics-command", min_size=1, max_size=4) as pool:
                return await work(pool, console)
        finally:
            await connection.close()

    console.print(f"{_finished(as_the_writer):,} rows written")


async def _compared(settings: CommandSettings) -> list[Line]:
    connection = await postgres.connect(
        settings.database_url.get_secret_value(), name="analytics-command", wait=False
    )
    try:
        async with opened(settings.place()) as clickhouse:
            return await reconcile(clickhouse, connection)
    finally:
        await connection.close()


def _asked(ops_url: str) -> list[Line] | None:
    """What the running process says; None: there is none."""
    try:
        with urllib.request.urlopen(f"{ops_url}/reconcile", timeout=OPS_SECONDS) as answer:
            return [Line(*line) for line in json.load(answer)]
    except urllib.error.HTTPError as error:
        raise SystemExit(f"analytics: the running process answers {error.code}") from None
    except OSError:
        return None


if __name__ == "__main__":
    app(args=sys.argv[1:])
